package seal

import (
	"encoding/binary"
	"errors"
	"strings"
	"time"
)

// ErrExpired means that a state was sealed too long ago.
var ErrExpired = errors.New("the state has expired")

// SealState seals the state of a request of several rounds until it expires.
// bound is what it belongs to (who asks, and what for): it opens with the same
// bound only.
func (s *Sealer) SealState(state, bound []byte, expires time.Time) string {
	plain := binary.BigEndian.AppendUint64(nil, uint64(expires.Unix())) //nolint:gosec // after 1970
	return seal(s.states, statePrefix, append(plain, state...), bound)
}

// IsState reports whether a text looks like a sealed state. One that was made by
// a server goes to that server.
func IsState(text string) bool { return strings.HasPrefix(text, statePrefix) }

// OpenState returns what was sealed, ErrInvalid or ErrExpired.
func (s *Sealer) OpenState(text string, bound []byte, now time.Time) ([]byte, error) {
	plain, err := open(s.states, statePrefix, text, bound)
	if err != nil {
		return nil, err
	}
	if len(plain) < 8 {
		return nil, ErrInvalid
	}
	if uint64(now.Unix()) >= binary.BigEndian.Uint64(plain) { //nolint:gosec // after 1970
		return nil, ErrExpired
	}
	return plain[8:], nil
}
