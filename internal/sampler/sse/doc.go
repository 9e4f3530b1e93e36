// Package sse reads and writes server-sent events after the WHATWG standard
// (HTML, 9.2). The scanner gives the bytes of each event beside what they say,
// so that an event can be passed on byte for byte; it needs nothing of HTTP or
// MCP.
package sse
