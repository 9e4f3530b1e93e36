package bridge

import (
	"net/http"
	"strings"
	"testing"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

func TestDeclareAll(t *testing.T) {
	for name, tc := range map[string]struct{ params, told, want string }{
		"nothing was told":       {`{"capabilities":{"roots":{}}}`, ``, `{"capabilities":{"roots":{}}}`},
		"another was told":       {`{"a":1,"capabilities":{"roots":{}}}`, `{"sampling":{}}`, `{"a":1,"capabilities":{"roots":{},"sampling":{}}}`},
		"more of it was told":    {`{"capabilities":{"sampling":{"x":1}}}`, `{"sampling":{"tools":{}}}`, `{"capabilities":{"sampling":{"tools":{},"x":1}}}`},
		"what asks for nothing":  {`{"capabilities":{}}`, `{"experimental":{"x":{}}}`, `{"capabilities":{}}`},
		"without capabilities":   {`{}`, `{"sampling":{}}`, `{}`},
		"with broken ones":       {`{"capabilities":[]}`, `{"sampling":{}}`, `{"capabilities":[]}`},
		"no more than they have": {`{"capabilities":{ "sampling":{} }}`, `{"sampling":{}}`, `{"capabilities":{ "sampling":{} }}`},
	} {
		t.Run(name, func(t *testing.T) {
			if got := string(declareAll([]byte(tc.params), []byte(tc.told))); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

func TestACallerThatCanBeAskedForMoreGetsAnotherSharedProcess(t *testing.T) {
	f := newSharedFixture(t, "")
	with := func(capabilities string) *mux {
		got := f.post("", strings.Replace(initializeBody, `"capabilities":{}`, `"capabilities":`+capabilities, 1))
		if got.status != http.StatusOK {
			t.Fatalf("initialize: %+v", got)
		}
		return f.bridge.session(got.session).mux
	}
	first := f.begin()
	told := f.bridge.session(first).mux
	second := with(`{"elicitation":{}}`)
	if second == told {
		t.Fatal("the process that was told nothing serves a caller that can be asked")
	}
	for _, less := range []string{`{}`, `{"elicitation":{}}`, `{"experimental":{"x":{}}}`} {
		if with(less) != second {
			t.Errorf("%s: another process runs", less)
		}
	}
	if got := f.post(first, tool("1", "echo", "")); got.status != http.StatusOK {
		t.Errorf("the first session: %+v", got)
	}
	f.do(http.MethodDelete, "", wire.HeaderSession, first)
	eventually(t, "the first process runs without a session", func() bool { return f.processes() == 1 })
	if with(`{"sampling":{}}`) == second {
		t.Error("the process that was not told of sampling serves a caller that has it")
	}
	if with(`{"elicitation":{},"sampling":{}}`) != f.bridge.shared.current.mux || f.processes() != 2 {
		t.Error("the newest process was not told all")
	}
}
