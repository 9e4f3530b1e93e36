package webhook_test

import (
	"errors"
	"net/http"
	"regexp"
	"strings"
	"testing"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
)

// wantSigned verifies a request as a handler would: with the specification's own
// library, and the key as its user knows it.
func wantSigned(t *testing.T, r fakeRequest, key string) {
	t.Helper()
	verifier, err := standardwebhooks.NewWebhook(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := verifier.Verify(r.body, r.header); err != nil {
		t.Error(err)
	}
	other, err := standardwebhooks.NewWebhook("b3RoZXIga2V5IG90aGVyIGtleSBvdGhlciBrZXkhIQ==")
	if err != nil {
		t.Fatal(err)
	}
	if other.Verify(r.body, r.header) == nil {
		t.Error("any key verifies it")
	}
}

func TestRequestsAreSigned(t *testing.T) {
	for name, key := range map[string]string{
		"a key":               testKey,
		"a key with a prefix": "whsec_" + testKey,
	} {
		t.Run(name, func(t *testing.T) {
			client, handler := connect(t, replyText("ok"), func() (string, error) { return key, nil })
			if _, err := client.CreateMessage(t.Context(), question()); err != nil {
				t.Fatal(err)
			}
			got := handler.only(t)
			wantSigned(t, got, key)
			if !regexp.MustCompile(`^msg_[A-Z0-9]{20,}$`).MatchString(got.header.Get("webhook-id")) {
				t.Errorf("webhook-id %q", got.header.Get("webhook-id"))
			}
			if strings.Contains(string(got.body), testKey) {
				t.Error("the key is in the body")
			}
		})
	}
}

func TestTheKeyIsThatOfTheMoment(t *testing.T) {
	keys := []string{testKey, "whsec_YW5vdGhlciBrZXksIGFsc28gMzIgYnl0ZXMgbG9uZyE="}
	client, handler := connect(t, replyText("ok"), func() (string, error) {
		key := keys[0]
		keys = keys[1:]
		return key, nil
	})
	want := append([]string(nil), keys...)
	for range want {
		if _, err := client.CreateMessage(t.Context(), question()); err != nil {
			t.Fatal(err)
		}
	}
	for i, r := range handler.requests {
		verifier, err := standardwebhooks.NewWebhook(want[i])
		if err != nil {
			t.Fatal(err)
		}
		if err := verifier.Verify(r.body, r.header); err != nil {
			t.Errorf("request %d: %v", i, err)
		}
	}
	if handler.requests[0].header.Get("webhook-id") == handler.requests[1].header.Get("webhook-id") {
		t.Error("two requests have the same id")
	}
}

func TestWithoutAKeyNothingIsSigned(t *testing.T) {
	client, handler := connect(t, replyText("ok"), nil)
	if _, err := client.CreateMessage(t.Context(), question()); err != nil {
		t.Fatal(err)
	}
	got := handler.only(t).header
	if got.Get("webhook-signature") != "" || got.Get("webhook-id") == "" || got.Get("webhook-timestamp") == "" {
		t.Errorf("headers %v, want id and time, and no signature", got)
	}
}

func TestAKeyThatCannotSignSendsNothing(t *testing.T) {
	known := &provider.Error{Kind: provider.KindMissingKey, Detail: "the key's file does not exist"}
	for name, tc := range map[string]struct {
		key        string
		err        error
		wantKind   provider.Kind
		wantDetail string
	}{
		"it is not there":     {"", known, provider.KindMissingKey, "the key's file does not exist"},
		"another error":       {"", errors.New("disk on fire"), provider.KindMissingKey, "there is no key"},
		"it is empty":         {"", nil, provider.KindMissingKey, "there is no key"},
		"it is a word":        {"correct horse battery staple " + testKey, nil, provider.KindUnauthorized, "not base64"},
		"it lost its padding": {strings.TrimSuffix(testKey, "="), nil, provider.KindUnauthorized, "not base64"},
		"it is a password":    {"password", nil, provider.KindUnauthorized, "too short"},
		"it is a prefix":      {"whsec_", nil, provider.KindUnauthorized, "too short"},
	} {
		t.Run(name, func(t *testing.T) {
			client, handler := connect(t, func(http.ResponseWriter, *http.Request) {}, func() (string, error) { return tc.key, tc.err })
			_, err := client.CreateMessage(t.Context(), question())
			wantError(t, err, tc.wantKind, tc.wantDetail)
			wantError(t, client.Probe(t.Context()), tc.wantKind, tc.wantDetail)
			if len(handler.requests) > 0 {
				t.Error("a request was sent")
			}
		})
	}
}
