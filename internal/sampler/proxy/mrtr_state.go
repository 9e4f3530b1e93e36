package proxy

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/seal"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

const (
	// stateTime is how long a caller has for what is asked of it.
	stateTime = 15 * time.Minute
	// maxStateBytes bounds what a caller is to keep for us.
	maxStateBytes = 4 << 20
)

// kept is what a caller keeps for us, sealed, while it answers its part of a
// round.
type kept struct {
	// state is the server's; nil where there is none.
	state json.RawMessage
	// asked is how many sampling requests of the call were answered before.
	asked int
	// pending is the sampling that is still to be answered.
	pending []wire.Input
}

// seal returns the state that a caller gets.
func (x *exchange) seal(k kept) (string, error) {
	plain := k.encode()
	if len(plain) <= maxStateBytes {
		if text := x.handler.opts.Sealer.SealState(plain, x.bound(), time.Now().Add(stateTime)); len(text) <= maxStateBytes {
			return text, nil
		}
	}
	return "", fmt.Errorf("the MCP server %s asks for sampling and other input at once, and what has to be kept of that is larger than %d bytes",
		x.handler.opts.ServerName, maxStateBytes)
}

// unseal opens what a caller brings back.
func (x *exchange) unseal(text string) (kept, error) {
	if len(text) <= maxStateBytes {
		plain, err := x.handler.opts.Sealer.OpenState(text, x.bound(), time.Now())
		if errors.Is(err, seal.ErrExpired) {
			return kept{}, fmt.Errorf("the requestState has expired: answer within %s, or start the call anew without requestState and inputResponses", stateTime)
		}
		if err == nil {
			if k, ok := decodeKept(plain); ok {
				return k, nil
			}
		}
	}
	return kept{}, errors.New("the requestState is not one for this caller and this call: start the call anew without requestState and inputResponses")
}

// bound is what a state belongs to: who asks, and for what.
func (x *exchange) bound() []byte {
	sum := sha256.New()
	who := credentialOf(x.call.header)
	for _, part := range [][]byte{who[:], []byte(x.call.method), []byte(x.said.Name), wire.CanonicalParams(x.params)} {
		fmt.Fprintf(sum, "%d:", len(part))
		sum.Write(part)
	}
	return sum.Sum(nil)
}

// encode writes texts with their lengths before them, so that each byte comes
// back as it is. First comes the number, then the state, preceded by 1, or 0.
func (k kept) encode() []byte {
	plain := binary.AppendUvarint(nil, uint64(k.asked)) //nolint:gosec // never negative
	add := func(text []byte) {
		plain = binary.AppendUvarint(plain, uint64(len(text)))
		plain = append(plain, text...)
	}
	if k.state == nil {
		plain = append(plain, 0)
	} else {
		plain = append(plain, 1)
		add(k.state)
	}
	for _, input := range k.pending {
		add(input.Key)
		add(input.Params)
	}
	return plain
}

func decodeKept(plain []byte) (k kept, ok bool) {
	asked, n := binary.Uvarint(plain)
	if n <= 0 || asked > math.MaxInt32 || len(plain) == n || plain[n] > 1 {
		return kept{}, false
	}
	k.asked = int(asked)
	hasState := plain[n] == 1
	rest := plain[n+1:]
	next := func() (text []byte, ok bool) {
		length, n := binary.Uvarint(rest)
		if n <= 0 || length > uint64(len(rest)-n) {
			return nil, false
		}
		end := n + int(length) //nolint:gosec // at most as long as rest
		text, rest = rest[n:end:end], rest[end:]
		return text, true
	}
	if hasState {
		if k.state, ok = next(); !ok {
			return kept{}, false
		}
	}
	for len(rest) > 0 {
		key, ok := next()
		if !ok {
			return kept{}, false
		}
		params, ok := next()
		if !ok {
			return kept{}, false
		}
		k.pending = append(k.pending, wire.Input{Name: wire.Text(key), Key: key, Method: wire.MethodSampling, Params: params})
	}
	return k, true
}
