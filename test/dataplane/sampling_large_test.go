package dataplane

import (
	"net/http"
	"strings"
	"testing"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/testing/fakellm"
)

// TestLargeAnswers has a model say more than anybody wants to hear: the session
// goes on after it.
func TestLargeAnswers(t *testing.T) {
	t.Parallel()
	const megabyte = 1 << 20
	model := fakellm.New()
	upstream := serve(t, &fakeAsker{})
	s := startSampler(t, upstream, config.Policy{
		Name:      "large",
		Providers: []config.Provider{{Name: "fake", Type: config.ProviderOpenAI, BaseURL: strings.TrimSuffix(serve(t, model), "/mcp") + "/v1"}},
		Models:    config.Models{Default: "only", Allowed: []config.Model{{Name: "only", Provider: "fake", Model: "fake-1"}}},
	})
	caller := newAsker(t, s.url())
	for _, tc := range []struct {
		size      int
		wantError string // empty where the answer arrives whole
	}{
		{size: 1},
		{size: 10 * megabyte},
		{size: 33 * megabyte, wantError: "the model provider gave an answer that cannot be used"},
		{size: 1},
	} {
		want := strings.Repeat("x", tc.size)
		model.Then(fakellm.Raw(http.StatusOK, "application/json",
			`{"id":"1","object":"chat.completion","model":"fake-1","choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"`+want+`"}}]}`))
		answer := caller.mustAsk(t, question("how long?"))
		switch {
		case tc.wantError == "" && answer.text() != want:
			t.Errorf("of %d bytes the server got %d, error %+v", tc.size, len(answer.text()), answer.Error)
		case tc.wantError != "" && (answer.Error == nil || answer.Error.Code != wire.CodeInternal || answer.Error.Message != tc.wantError):
			t.Errorf("of %d bytes the server got %d, error %+v, want %q", tc.size, len(answer.text()), answer.Error, tc.wantError)
		}
	}
}
