// Package controllers holds the reconcilers of MCPServer and SamplingPolicy.
//
// Each goes through the same stages: it gathers the objects that matter from the
// cache, lets the pure packages below resolve, build and judge them, applies
// what has to be there, asks the samplers what they have loaded, and writes the
// status once. What it must keep in memory between two passes (how long
// something has been pending, what was written last) only paces the work: after
// a restart everything is found out again.
package controllers
