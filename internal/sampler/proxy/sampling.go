package proxy

import (
	"context"
	"encoding/json"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// Sampling decides about sampling and answers it; the proxy only carries the
// messages. Implementations take the configuration that is current when a
// method is called and keep it for that call. Methods are called concurrently.
type Sampling interface {
	// Declare returns the sampling capability that the server is told when a
	// caller that declared caller initializes. Equal to caller means that the
	// request goes on byte for byte.
	Declare(caller wire.SamplingCapability) wire.SamplingCapability
	// Takes reports whether Answer serves this request; if not, it goes to the
	// caller. params are the raw parameters of the sampling request.
	Takes(session Session, params json.RawMessage) bool
	// Answer serves one sampling request: a result or an error, never both and
	// never neither. It returns soon after ctx ends, which it does when the
	// server cancels the request, the caller's call ends or the session is
	// deleted. done, where not nil, is run once, soon after the answer is on its
	// way: what has to be noted about it need not make anybody wait.
	Answer(ctx context.Context, session Session, params json.RawMessage) (result json.RawMessage, failure *wire.Error, done func())
}

// Session is what Sampling may know of the session a request came in.
type Session struct {
	// ID is a short digest of the session id, safe for logs.
	ID string
	// Caller is what the caller declared, Declared what the server was told.
	Caller, Declared wire.SamplingCapability
	// CallerUnknown means that nobody here saw the caller initialize (the
	// session is from before a restart, or the server gives no session ids), so
	// that Caller says nothing.
	CallerUnknown bool
	// ProtocolVersion is what the server agreed to; empty if not known.
	ProtocolVersion string
	// InCall is how many sampling requests the caller's call has asked for, this
	// one included; 0 where the request belongs to no call. Where several calls
	// run and nobody can tell whose it is, it counts for all of them.
	InCall int
}
