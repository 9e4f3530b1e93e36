// Package proxy is the interposing HTTP handler between MCP callers and one MCP
// server. It forwards messages as they are and looks only at what it must: it
// puts the sampling capability into `initialize`, takes sampling requests off
// the server's SSE streams and answers them by requests of its own.
//
// It owns the callers' sessions and their upstream streams. What is decided
// about sampling comes through the Sampling interface.
package proxy
