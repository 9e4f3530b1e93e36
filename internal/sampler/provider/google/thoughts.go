package google

import (
	"crypto/sha256"
	"encoding/json"
	"sync"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
)

// placeholder is what Google documents for function calls whose signature is not
// known: those of another model, or made up by whoever began the conversation.
const placeholder = "skip_thought_signature_validator"

// Bounds of what is kept. A signature has some hundred bytes to a few KB.
const (
	maxSignatures     = 4096
	maxSignatureBytes = 4 << 20
)

// thoughts keeps the signatures of the latest function calls until their results
// come. It is a convenience and no more: another replica, or this one after a
// restart, sends the placeholder, and the model thinks again.
type thoughts struct {
	mu    sync.Mutex
	of    map[callKey][]byte
	order []callKey // oldest first
	bytes int
}

// callKey is a digest of a function call, of the session that it is for and of
// the model that made it: a call that was changed on its way gets no signature,
// nor does another session.
type callKey [sha256.Size]byte

func newThoughts() *thoughts { return &thoughts{of: map[callKey][]byte{}} }

func keyOf(req *provider.Request, id, name string, args map[string]any) (callKey, bool) {
	// Maps are written in the order of their keys.
	text, err := json.Marshal([]any{req.Model, req.Context.Namespace, req.Context.Server, req.Context.Session, id, name, args})
	if err != nil {
		return callKey{}, false
	}
	return sha256.Sum256(text), true
}

func (t *thoughts) remember(key callKey, signature []byte) {
	if len(signature) > maxSignatureBytes/16 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, known := t.of[key]; known {
		return
	}
	t.of[key] = signature
	t.order = append(t.order, key)
	t.bytes += len(signature)
	for len(t.order) > maxSignatures || t.bytes > maxSignatureBytes {
		oldest := t.order[0]
		t.order = t.order[1:]
		t.bytes -= len(t.of[oldest])
		delete(t.of, oldest)
	}
}

// recall returns nil where nothing is known.
func (t *thoughts) recall(key callKey) []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.of[key]
}
