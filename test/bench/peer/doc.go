// Package peer holds what the benchmarks put around a proxy: an MCP server, a
// bare reverse proxy and a model server.
//
// The MCP server is written by hand on net/http, without an SDK: an SDK's own
// work for a call is several times that of a proxy, and would hide what is
// measured. It keeps to the specification in both eras as far as its tools need.
package peer
