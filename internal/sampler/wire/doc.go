// Package wire reads and writes JSON-RPC and MCP messages over raw JSON: the
// parts that a decision needs are decoded, everything else keeps its bytes. It
// knows the field names of the specification and nothing of HTTP, policies or
// providers.
package wire
