package proxy

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// counted answers everything, and returns which request of its call each was.
func counted() (sampling *fakeSampling, inCalls func() []int) {
	var mu sync.Mutex
	var all []int
	return &fakeSampling{
			answer: func(context.Context) (json.RawMessage, *wire.Error) { return json.RawMessage(`{"sampled":true}`), nil },
			seen: func(s Session) {
				mu.Lock()
				defer mu.Unlock()
				all = append(all, s.InCall)
			},
		}, func() []int {
			mu.Lock()
			defer mu.Unlock()
			slices.Sort(all) // requests are answered at the same time
			return slices.Clone(all)
		}
}

func sampleWith(id string) string { return strings.Replace(sampleEvent, `"id":9`, `"id":`+id, 1) }

func TestSamplingIsCountedInItsCall(t *testing.T) {
	// onGET has a server ask on the session's stream while a call runs.
	onGET := func(stream string) *fakeServer {
		calling := make(chan struct{}, 2)
		server := &fakeServer{answers: make(chan string, 2)}
		server.get = func(w http.ResponseWriter, r *http.Request) {
			events(": open\n\n")(w, r)
			_ = http.NewResponseController(w).Flush()
			select {
			case <-calling:
				hold(stream)(w, r)
			case <-r.Context().Done():
			}
		}
		server.call = func(w http.ResponseWriter, r *http.Request) {
			calling <- struct{}{}
			for range strings.Count(stream, "sampling/createMessage") {
				select {
				case <-server.answers:
				case <-r.Context().Done():
				}
			}
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(callResponse))
		}
		return server
	}
	for name, tc := range map[string]struct {
		server *fakeServer
		calls  int
		want   []int
	}{
		"on the stream of the call": {
			server: &fakeServer{call: events(sampleWith("8") + sampleWith("9") + "data: " + callResponse + "\n\n")},
			calls:  2, want: []int{1, 1, 2, 2},
		},
		"on the session's stream, in the only call": {
			server: onGET(sampleWith("8") + sampleWith("9")), calls: 1, want: []int{1, 2},
		},
		"on the session's stream, in no call": {
			server: &fakeServer{get: hold(sampleEvent)}, want: []int{0},
		},
	} {
		t.Run(name, func(t *testing.T) {
			sampling, inCalls := counted()
			endpoint, _ := newFront(t, tc.server, withSampling(sampling))
			session := begin(t, endpoint)
			for range tc.calls {
				ask(t, http.MethodPost, endpoint, callBody, wire.HeaderSession, session)
			}
			eventually(t, "all is answered", func() bool { return len(inCalls()) >= len(tc.want) })
			if diff := cmp.Diff(tc.want, inCalls()); diff != "" {
				t.Errorf("requests of their calls (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSamplingIsCountedOverTheRoundsOfACall(t *testing.T) {
	const done = `{"jsonrpc":"2.0","id":$ID,"result":{"content":[]}}`
	sample := asks(`,"inputRequests":{"q":` + sampleInput + `},"requestState":"1"`)
	two := asks(`,"inputRequests":{"a":` + sampleInput + `,"b":` + sampleInput + `}`)
	elicit := asks(`,"inputRequests":{"who":` + elicitInput + `},"requestState":"s"`)
	mixed := asks(`,"inputRequests":{"who":` + elicitInput + `,"q":` + sampleInput + `},"requestState":"m"`)
	for name, tc := range map[string]struct {
		answers []string
		// atCaller is how often the caller is asked for its part.
		atCaller int
		want     []int
	}{
		"one after the other":                      {answers: []string{sample, sample, done}, want: []int{1, 2}},
		"two at the same time, and one":            {answers: []string{two, sample, done}, want: []int{1, 2, 3}},
		"with a round that the caller has part in": {answers: []string{sample, mixed, sample, done}, atCaller: 1, want: []int{1, 2, 3}},
		"with two of these":                        {answers: []string{mixed, two, mixed, done}, atCaller: 2, want: []int{1, 2, 3, 4}},
		"with a round for the caller alone":        {answers: []string{sample, elicit, sample, done}, atCaller: 1, want: []int{1, 2}},
		"with that alone at first":                 {answers: []string{elicit, sample, done}, atCaller: 1, want: []int{1}},
	} {
		t.Run(name, func(t *testing.T) {
			sampling, inCalls := counted()
			server := &fakeRounds{answers: tc.answers}
			endpoint, _ := newFront(t, server, withSampling(sampling))
			got := askModern(t, endpoint, modernCall("1", plainMeta, ""))
			for i := range tc.atCaller {
				var response struct {
					Result struct {
						RequestState string `json:"requestState"`
					} `json:"result"`
				}
				if err := json.Unmarshal([]byte(got.body), &response); err != nil || response.Result.RequestState == "" {
					t.Fatalf("the caller got %s, error %v, want its part", got.body, err)
				}
				got = askModern(t, endpoint, modernCall(fmt.Sprint(i+2), plainMeta, `,"inputResponses":{"who":{"action":"accept"}},"requestState":"`+response.Result.RequestState+`"`))
			}
			if want := strings.Replace(done, "$ID", fmt.Sprint(tc.atCaller+1), 1); got.body != want {
				t.Errorf("the caller got %s, want %s", got.body, want)
			}
			if diff := cmp.Diff(tc.want, inCalls()); diff != "" {
				t.Errorf("requests of the call (-want +got):\n%s", diff)
			}
			for _, body := range server.got(t) {
				if strings.Contains(body, `"requestState":"mcpr1.`) {
					t.Errorf("the server got our state: %s", body)
				}
			}
			if n := server.count(); n != len(tc.answers) {
				t.Errorf("the server was asked %d times, want %d", n, len(tc.answers))
			}
		})
	}
}

func TestAStateThatCountsNothingSensibleIsRefused(t *testing.T) {
	for name, plain := range map[string][]byte{
		"empty": {}, "no flag": {7}, "a number without end": {255, 255, 255}, "a number that is too large": {255, 255, 255, 255, 127, 0}, "another flag": {0, 2},
	} {
		if k, ok := decodeKept(plain); ok {
			t.Errorf("%s became %+v", name, k)
		}
	}
}

func TestSamplingThatCouldBeOfSeveralCallsCountsForAllOfThem(t *testing.T) {
	long, fresh := &call{method: "tools/call"}, &call{method: "tools/call"}
	s := &session{calls: map[*call]struct{}{long: {}, {method: "tools/list"}: {}}}
	for want := 1; want <= 3; want++ {
		if got := s.countAsked(s.onlyCall()); got != want {
			t.Errorf("request %d of the only call, want %d", got, want)
		}
	}
	s.calls[fresh] = struct{}{}
	if got := s.countAsked(s.onlyCall()); got != 1 {
		t.Errorf("request %d of two calls, want the first of the newest", got)
	}
	if long.asked.Load() != 4 || fresh.asked.Load() != 1 {
		t.Errorf("counted %d and %d, want 4 and 1", long.asked.Load(), fresh.asked.Load())
	}
	clear(s.calls)
	if got := s.countAsked(s.onlyCall()); got != 0 {
		t.Errorf("request %d of no call, want 0", got)
	}
}
