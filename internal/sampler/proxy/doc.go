// Package proxy is the interposing HTTP handler between MCP callers and one MCP
// server that speaks Streamable HTTP, protocol versions 2024-11-05 to
// 2026-07-28. It forwards messages as they are and looks only at what it must:
// it puts the sampling capability into `initialize`, takes sampling requests
// off the server's event streams and answers them by requests of its own.
//
// It owns the callers' sessions and their upstream streams. What is decided
// about sampling comes through the Sampling interface.
//
// # What goes where
//
// A request of the caller goes post -> send -> relay, and the server's stream
// goes through an inspector event by event. An initialize request begins a
// session (initialize), whose listener holds the server's GET stream and keeps
// what is not sampling in an eventLog for the caller's GET (get, share).
//
// The caller knows a session by a sealed name, which says where it lives and what
// was agreed. A request of one that is not held here is forwarded to the replica
// that owns it (replicas); where that is this one, it is taken over (adopt), and
// the others let go of it first (handover). What is let go of lives on elsewhere:
// its stream is not given up before the server has noticed (leave).
//
// With the older HTTP+SSE transport a GET of the caller begins the session, which
// lives as long as that stream: messages are posted to the endpoint that it
// names, and all answers and sampling requests come on it (ssetransport).
//
// A request of the stateless era is in no session. It says its capabilities
// itself, and what the server asks for comes in its result: an exchange answers
// that and sends the request again until it is complete (modern, mrtr). What is
// not sampling goes to the caller, who keeps the rest for us, sealed.
//
// # What ends what
//
// The caller's connection ends the request to the server and the sampling that
// came on its stream, as does its notifications/cancelled. A sampling request
// on the GET stream belongs to the only call that runs, and else to the session.
// A stream that the server ends early ends nothing: the caller may resume it.
// The server is answered in each case but two: it has cancelled the request, or
// the session is over.
//
// A session that is idle for too long, or makes room for others, is forgotten here
// only: its name stays good. A handler that drains lets go of the sessions without
// a running call, and serves whatever comes until it is closed.
//
// # What a server can cost
//
// Sampling requests are answered up to a number in each session and among all,
// and up to an amount of memory. What is above is refused by the one who reads
// the stream, before it reads on: a server that asks without end waits until it
// has taken the refusals itself, and costs no more than a request at a time for
// each of its streams. If the caller leaves meanwhile, such a refusal is lost.
// What goes wrong with answers is logged once a minute for a session.
//
// # Who is believed
//
// The server alone knows who a caller is. So a session is kept only when the
// server has accepted a request in it, requests of the proxy carry the headers
// of a caller that the server has accepted, and the stream that the proxy holds
// is shared only with a caller that identifies itself as that one does, or that
// the server accepts when asked. What the server says to a message of the
// stateless era counts for nothing there, as that message is in no session.
// Names of sessions, and the marks of requests that a replica has forwarded, are
// sealed: what does not open goes no further.
// A caller's answer to a request that was taken off is held back. Forwarded and
// X-Forwarded-* do not go on.
package proxy
