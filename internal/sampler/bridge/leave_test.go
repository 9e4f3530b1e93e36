package bridge

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// callUntil posts a call and returns what ends it as a caller that leaves.
func (f *fixture) callUntil(session, body string, header ...string) (leave func()) {
	f.t.Helper()
	ctx, cancel := context.WithCancel(f.t.Context())
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		if response := f.open(ctx, http.MethodPost, body, append([]string{wire.HeaderSession, session}, header...)...); response != nil {
			<-ctx.Done()
			_ = response.Body.Close()
		}
	}()
	return func() { cancel(); <-gone }
}

// inMux reports what look says of the mux, under its mutex.
func inMux(x *mux, look func() bool) func() bool {
	return func() bool {
		x.mu.Lock()
		defer x.mu.Unlock()
		return look()
	}
}

func TestACallThatWasCancelledAndLeftIsForgotten(t *testing.T) {
	const cancel = `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"x"}}`
	for name, cancelFirst := range map[string]bool{"cancelled, then left": true, "left, then cancelled": false} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, "")
			session := f.begin()
			x := f.bridge.session(session).mux
			leave := f.callUntil(session, tool(`"x"`, "hang", ""))
			eventually(t, "the call does not run", inMux(x, func() bool { return len(x.order) == 1 }))
			if cancelFirst {
				f.post(session, cancel)
				leave()
			} else {
				leave()
				eventually(t, "nobody noticed", inMux(x, func() bool { return x.order[0].left }))
				f.post(session, cancel)
			}
			eventually(t, "the call is still known", inMux(x, func() bool { return len(x.order) == 0 && len(x.running) == 0 }))
			if got := f.post(session, tool(`"x"`, "heard", "")); !strings.Contains(got.body, `\"requestId\":\"x\"`) {
				t.Errorf("the process heard %s", got.body)
			}
		})
	}
}

func TestWhatWasAskedInACallThatIsLeftGoesToTheSessionsStream(t *testing.T) {
	f := newFixture(t, "")
	session := f.begin()
	x := f.bridge.session(session).mux
	// The call is the bridge's own, so that nobody reads what comes for it.
	ex := &exchange{bridge: f.bridge, mux: x, out: newQueue(1 << 20)}
	if err := ex.send(f.bridge.session(session), mustParse(t, tool("1", "sample", "what?")), []byte(tool("1", "sample", "what?")), nil); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the server has not asked", inMux(x, func() bool { return len(x.asked) == 1 }))
	x.abandon(ex.calls)
	f.stream(session).want(`"method":"sampling/createMessage"`)
	f.post(session, `{"jsonrpc":"2.0","id":1,"result":{}}`)
	eventually(t, "the call goes on", inMux(x, func() bool { return len(x.order) == 0 }))
}

func TestASubscriptionDoesNotHoldTheEnd(t *testing.T) {
	f := newFixture(t, "modern")
	body, header := modernCall("1", "subscriptions/listen", "", "")
	response := f.open(t.Context(), http.MethodPost, body, header...)
	defer response.Body.Close()
	newStream(t, response.Body).want("acknowledged")
	f.bridge.drain()
	if strings.Contains(f.log.String(), "cut off") {
		t.Error("it waited for the subscription")
	}
}
