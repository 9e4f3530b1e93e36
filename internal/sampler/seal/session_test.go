package seal

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func sealer(t testing.TB, fill byte) *Sealer {
	t.Helper()
	s, err := NewSealer(bytes.Repeat([]byte{fill}, MinKeyBytes))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestNames(t *testing.T) {
	s := sealer(t, 1)
	for name, want := range map[string]Session{
		"nothing known":  {},
		"all there is":   {ID: "mcp-session-1", Address: "10.0.0.1:8000", Owner: "10.0.0.9:8080", Version: "2025-11-25", CallerSampling: true, CallerTools: true, DeclaredSampling: true, DeclaredTools: true},
		"one capability": {ID: "é\x00\n", DeclaredSampling: true},
	} {
		t.Run(name, func(t *testing.T) {
			sealed, err := s.SealName(want)
			if err != nil {
				t.Fatal(err)
			}
			if i := strings.IndexFunc(sealed, func(r rune) bool { return r <= 0x20 || r > 0x7e }); i >= 0 {
				t.Errorf("byte %d of %q is not visible ASCII", i, sealed)
			}
			got, err := s.OpenName(sealed)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			again, err := s.SealName(want)
			if err != nil || again == sealed {
				t.Errorf("two names of one session are equal (error %v): they would tell who is who", err)
			}
		})
	}
}

func TestANameThatIsTooLongIsRefused(t *testing.T) {
	if name, err := sealer(t, 1).SealName(Session{ID: strings.Repeat("x", MaxNameBytes)}); err == nil {
		t.Errorf("sealed to %d bytes", len(name))
	}
}

func TestWhatIsNotOursDoesNotOpen(t *testing.T) {
	s := sealer(t, 1)
	good, err := s.SealName(Session{ID: "a", Address: "10.0.0.1:8000"})
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := sealer(t, 2).SealName(Session{ID: "a"})
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]string{
		"nothing": "", "a made up id": "mcp-session-1", "a bare prefix": namePrefix, "of another key": foreign,
		"a state": s.SealState([]byte("x"), nil, time.Now().Add(time.Hour)), "a state with the other prefix": namePrefix + s.SealState(nil, nil, time.Now())[len(statePrefix):],
		"cut": good[:len(good)-1], "longer": good + "A", "padded": good + "=", "with a line end": good + "\n", "too long": namePrefix + strings.Repeat("A", MaxNameBytes),
	}
	for name, text := range cases {
		t.Run(name, func(t *testing.T) {
			if v, err := s.OpenName(text); !errors.Is(err, ErrInvalid) {
				t.Errorf("opened as %+v, error %v", v, err)
			}
		})
	}
	for i := range good {
		changed := []byte(good)
		changed[i] ^= 1
		if v, err := s.OpenName(string(changed)); !errors.Is(err, ErrInvalid) {
			t.Errorf("byte %d changed: opened as %+v, error %v", i, v, err)
		}
	}
}

func TestStates(t *testing.T) {
	s := sealer(t, 1)
	now := time.Unix(1_800_000_000, 0)
	state := s.SealState([]byte("pending"), []byte("caller and call"), now.Add(time.Minute))
	if !IsState(state) || IsState("a server's own") {
		t.Error("a sealed state cannot be told from a server's")
	}
	got, err := s.OpenState(state, []byte("caller and call"), now)
	if err != nil || string(got) != "pending" {
		t.Errorf("opened as %q, error %v", got, err)
	}
	for name, c := range map[string]struct {
		by    *Sealer
		bound string
		now   time.Time
		want  error
	}{
		"of another caller": {s, "another", now, ErrInvalid},
		"of another key":    {sealer(t, 2), "caller and call", now, ErrInvalid},
		"expired":           {s, "caller and call", now.Add(time.Minute), ErrExpired},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := c.by.OpenState(state, []byte(c.bound), c.now); !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v", err, c.want)
			}
		})
	}
}

func TestAShortKeyIsRefused(t *testing.T) {
	if _, err := NewSealer(make([]byte, MinKeyBytes-1)); err == nil {
		t.Error("a short key was taken")
	}
}

func TestADigestTellsKeysApart(t *testing.T) {
	one, again, other := sealer(t, 1).Digest(), sealer(t, 1).Digest(), sealer(t, 2).Digest()
	if len(one) != 8 || one != again || one == other {
		t.Errorf("the digests of a key are %q and %q, that of another is %q", one, again, other)
	}
}

// FuzzOpen: whatever a caller sends neither opens nor breaks anything, unless
// it is what was sealed.
func FuzzOpen(f *testing.F) {
	s := sealer(f, 1)
	sealed := Session{ID: "id", Address: "10.0.0.1:8000", Owner: "10.0.0.2:8080", Version: "2025-11-25", CallerSampling: true}
	name, err := s.SealName(sealed)
	if err != nil {
		f.Fatal(err)
	}
	state := s.SealState([]byte("state"), []byte("bound"), time.Unix(1<<40, 0))
	for _, seed := range []string{"", name, state, name[:20], "mcps1.", "mcpr1.AAAA", namePrefix + state[len(statePrefix):]} {
		f.Add(seed, []byte(seed))
	}
	f.Fuzz(func(t *testing.T, text string, plain []byte) {
		// The seeds are of another process: each seals with another nonce.
		if v, err := s.OpenName(text); err == nil && v != sealed {
			t.Errorf("the name %q opened as %+v", text, v)
		}
		if got, err := s.OpenState(text, []byte("bound"), time.Unix(1, 0)); err == nil && string(got) != "state" {
			t.Errorf("the state %q opened as %q", text, got)
		}
		// What the key's holder has sealed can be of another release.
		v, err := decode(plain)
		if err != nil {
			return
		}
		sealed, err := s.SealName(v)
		if err != nil {
			return // too long
		}
		if again, err := s.OpenName(sealed); err != nil || again != v {
			t.Errorf("%+v came back as %+v, error %v", v, again, err)
		}
	})
}
