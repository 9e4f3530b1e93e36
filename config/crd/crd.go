// Package crd holds the generated definition of SamplingPolicy, for programs
// that have to know its schema without a cluster.
package crd

import _ "embed"

// SamplingPolicies is the CustomResourceDefinition, in YAML.
//
//go:embed bases/mcp-sampling.dev_samplingpolicies.yaml
var SamplingPolicies []byte
