package proxy

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// fakeName is a name whose addresses change.
type fakeName struct{ addresses atomic.Value }

func (n *fakeName) set(addresses ...string) { n.addresses.Store(addresses) }

func (n *fakeName) lookup(context.Context, string, string) (found []netip.Addr, err error) {
	for _, a := range n.addresses.Load().([]string) {
		found = append(found, netip.MustParseAddr(a))
	}
	if len(found) == 0 {
		return nil, errors.New("no such host")
	}
	return found, nil
}

// moving is a proxy in front of a server whose pods change, in a bubble of time.
type moving struct {
	*Handler
	name fakeName
}

const heldBody = `{"jsonrpc":"2.0","id":9,"method":"tools/call","params":{"name":"long"}}`

// newMoving returns a proxy whose server has the pods 10.0.0.1 and 10.0.0.2, and a
// session on the first one. Calls with heldBody last until release is closed.
func newMoving(t *testing.T, release <-chan struct{}) (m *moving, session string) {
	t.Helper()
	server := func() *fakeServer {
		return &fakeServer{call: func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("X-Long") != "" {
				<-release
			}
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(callResponse))
		}}
	}
	m = &moving{}
	m.name.set("10.0.0.1")
	h, err := New(Options{
		Upstream: &url.URL{Scheme: "http", Host: "server.example:8000", Path: "/mcp"}, Sampling: &fakeSampling{},
		Transport:   &fakePods{pods: map[string]http.Handler{"10.0.0.1:8000": server(), "10.0.0.2:8000": server()}},
		LookupNetIP: m.name.lookup,
	})
	if err != nil {
		t.Fatal(err)
	}
	m.Handler = h
	status, header := m.post("", initializeBody)
	if session = header.Get(wire.HeaderSession); status != http.StatusOK || session == "" {
		t.Fatalf("initialize got %d and session %q", status, session)
	}
	m.name.set("10.0.0.1", "10.0.0.2")
	return m, session
}

func (m *moving) post(session, body string) (int, http.Header) {
	r := httptest.NewRequest(http.MethodPost, "/mcp", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json, text/event-stream")
	if session != "" {
		r.Header.Set(wire.HeaderSession, session)
	}
	if body == heldBody {
		r.Header.Set("X-Long", "yes")
	}
	w := httptest.NewRecorder()
	m.ServeHTTP(w, r)
	return w.Code, w.Result().Header
}

// callUntil calls once a second until a call gets another status than 200, and
// returns that and how long it took; at most a minute.
func (m *moving) callUntil(session string) (status int, after time.Duration) {
	begin := time.Now()
	for time.Since(begin) < time.Minute {
		if status, _ = m.post(session, callBody); status != http.StatusOK {
			break
		}
		time.Sleep(time.Second)
	}
	return status, time.Since(begin)
}

func TestSessionsLeaveAPodThatIsGoing(t *testing.T) {
	for name, tc := range map[string]struct {
		then     func(*fakeName) // after a minute of calls
		wantGone bool
	}{
		"both pods stay": {then: func(*fakeName) {}},
		"its pod is going": {
			then: func(n *fakeName) { n.set("10.0.0.2") }, wantGone: true,
		},
		"the other one is going": {then: func(n *fakeName) { n.set("10.0.0.1") }},
		"no pod is found: there is nowhere to go": {
			then: func(n *fakeName) { n.set() },
		},
		"its pod is missing for a moment": {then: func(n *fakeName) {
			n.set("10.0.0.2")
			time.AfterFunc(lookTime-time.Millisecond, func() { n.set("10.0.0.1", "10.0.0.2") })
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, session := newMoving(t, nil)
				defer m.Close()
				if status, _ := m.callUntil(session); status != http.StatusOK {
					t.Fatalf("before anything happened: status %d", status)
				}
				tc.then(&m.name)
				status, after := m.callUntil(session)
				if gone := status == http.StatusNotFound; gone != tc.wantGone || !gone && status != http.StatusOK {
					t.Errorf("status %d after %s, want the session to end: %t", status, after, tc.wantGone)
				}
				if most := 3 * lookTime; tc.wantGone && after > most {
					t.Errorf("the session ended after %s, want at most %s: the pod waits no longer", after, most)
				}
			})
		})
	}
}

// A DNS server that is behind may not know the newest pod yet.
func TestANewPodIsNotTakenForOneThatIsGoing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, session := newMoving(t, nil)
		defer m.Close()
		m.name.set("10.0.0.2")
		time.AfterFunc(5*time.Second, func() { m.name.set("10.0.0.1", "10.0.0.2") })
		if status, after := m.callUntil(session); status != http.StatusOK {
			t.Errorf("status %d after %s, want the session to stay", status, after)
		}
	})
}

// While a call runs its session stays, with all that belongs to it.
func TestARunningCallKeepsItsSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		m, session := newMoving(t, release)
		defer m.Close()
		time.Sleep(time.Minute)
		long := make(chan int, 1)
		go func() {
			status, _ := m.post(session, heldBody)
			long <- status
		}()
		m.callUntil(session)
		m.name.set("10.0.0.2")
		if status, after := m.callUntil(session); status != http.StatusOK {
			t.Errorf("status %d after %s beside a running call, want 200", status, after)
		}
		close(release)
		if status := <-long; status != http.StatusOK {
			t.Errorf("the long call got status %d", status)
		}
		if status, after := m.callUntil(session); status != http.StatusNotFound || after > lookTime {
			t.Errorf("status %d after %s once the call is over, want 404 at once", status, after)
		}
		if m.Sessions() != 0 {
			t.Errorf("%d sessions are still held", m.Sessions())
		}
	})
}
