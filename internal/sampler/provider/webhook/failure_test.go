package webhook_test

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider/outbound"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider/webhook"
)

func TestOptions(t *testing.T) {
	for name, options := range map[string]provider.Options{
		"no address":        {HTTP: http.DefaultClient},
		"an address alone":  {HTTP: http.DefaultClient, BaseURL: "handler:8080"},
		"a file":            {HTTP: http.DefaultClient, BaseURL: "file:///handler"},
		"no way to send it": {BaseURL: "http://handler:8080/"},
	} {
		if _, err := webhook.New(options); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestFailures(t *testing.T) {
	page := "<h1>" + ownWords + "</h1>"
	half := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("Content-Length", "100")
		io.WriteString(w, ownWords)
	}
	reset := func(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) }
	endless := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		for chunk := make([]byte, 64<<10); ; {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}
	for name, tc := range map[string]struct {
		reply      http.HandlerFunc
		wantKind   provider.Kind
		wantDetail string
	}{
		"a wrong signature":     {reply(401, "text/html", page), provider.KindUnauthorized, "HTTP 401"},
		"a forbidden sampler":   {reply(403, "text/html", page), provider.KindUnauthorized, "HTTP 403"},
		"a request it rejects":  {reply(400, "application/json", `"`+ownWords+`"`), provider.KindRejected, "HTTP 400"},
		"another path":          {reply(404, "text/plain", ownWords), provider.KindRejected, "HTTP 404"},
		"too many requests":     {reply(429, "text/plain", ownWords), provider.KindRateLimited, "HTTP 429"},
		"a crash":               {reply(500, "text/plain", ownWords), provider.KindFailed, "HTTP 500"},
		"a gateway's page":      {reply(502, "text/html", page), provider.KindFailed, "HTTP 502"},
		"a gateway's timeout":   {reply(504, "text/html", page), provider.KindTimeout, "HTTP 504"},
		"a redirect":            {reply(307, "text/plain", ownWords), provider.KindInvalid, "redirects are not followed"},
		"no content":            {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }, provider.KindInvalid, "neither text/plain"},
		"half an answer":        {half, provider.KindUnreachable, "the connection was closed"},
		"a reset":               {reset, provider.KindUnreachable, "the connection was closed"},
		"an answer without end": {endless, provider.KindInvalid, "too long"},
	} {
		t.Run(name, func(t *testing.T) {
			client, _ := connect(t, tc.reply, signed)
			_, err := client.CreateMessage(t.Context(), question())
			wantError(t, err, tc.wantKind, tc.wantDetail)
		})
	}
}

func TestAHandlerSaysWhenToAskAgain(t *testing.T) {
	client, _ := connect(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusServiceUnavailable)
	}, nil)
	_, err := client.CreateMessage(t.Context(), question())
	var got *provider.Error
	if !errors.As(err, &got) || got.RetryAfter != 7*time.Second || !got.Retryable() {
		t.Errorf("error %v, want one to try again after 7 s", err)
	}
}

func TestALongTextIsAnAnswer(t *testing.T) {
	long := strings.Repeat("x", 10<<20)
	client, _ := connect(t, replyText(long), nil)
	got, err := client.CreateMessage(t.Context(), question())
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Result.Content) != 1 || got.Result.Content[0].Text != long {
		t.Error("it did not come as it was")
	}
}

// hang answers nothing, or only a header, until the client is gone.
func hang(afterHeader bool, left chan<- struct{}) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if afterHeader {
			w.Header().Set("Content-Type", "text/plain")
			http.NewResponseController(w).Flush()
		}
		<-r.Context().Done()
		close(left)
	}
}

func TestAHandlerThatHangs(t *testing.T) {
	for name, afterHeader := range map[string]bool{"before its answer": false, "in its answer": true} {
		t.Run(name, func(t *testing.T) {
			left := make(chan struct{})
			client, _ := connect(t, hang(afterHeader, left), signed)
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			_, err := client.CreateMessage(ctx, question())
			wantError(t, err, provider.KindTimeout, "no answer in time")
			wait(t, left)
		})
	}
}

func TestACallerThatLeavesEndsTheCall(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan struct{})
	client, _ := connect(t, func(w http.ResponseWriter, r *http.Request) {
		cancel()
		hang(false, left)(w, r)
	}, signed)
	_, err := client.CreateMessage(ctx, question())
	wantError(t, err, provider.KindCanceled, "canceled")
	wait(t, left)
}

func wait(t *testing.T, left <-chan struct{}) {
	t.Helper()
	select {
	case <-left:
	case <-time.After(10 * time.Second):
		t.Error("the handler still has the request")
	}
}

func TestUnreachable(t *testing.T) {
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	private := httptest.NewUnstartedServer(http.NotFoundHandler())
	private.Config.ErrorLog = log.New(io.Discard, "", 0) // it complains about clients that don't trust it
	private.StartTLS()
	defer private.Close()
	noSuchHost := &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.DNSError{Err: "no such host", Name: "handler.invalid", IsNotFound: true}
	}}}
	missing := filepath.Join(t.TempDir(), "none")
	for name, tc := range map[string]struct {
		url        string
		client     *http.Client
		wantKind   provider.Kind
		wantDetail string
	}{
		"nobody listens":         {closed.URL, outbound.New(outbound.Options{}), provider.KindUnreachable, "connection refused"},
		"a certificate of its":   {private.URL, outbound.New(outbound.Options{}), provider.KindUnreachable, "its TLS certificate is not trusted"},
		"a name that is none":    {"http://handler.invalid", noSuchHost, provider.KindUnreachable, "the host name cannot be resolved"},
		"a bundle that lacks":    {private.URL, outbound.New(outbound.Options{CAFile: missing}), provider.KindUnreachable, "CA bundle"},
		"a header that lacks":    {closed.URL, outbound.New(outbound.Options{Headers: []config.Header{{Name: "x-team", ValueFrom: &config.Credential{File: missing}}}}), provider.KindMissingKey, "header X-Team"},
		"no TLS where it should": {strings.Replace(private.URL, "https", "http", 1), outbound.New(outbound.Options{}), provider.KindRejected, "HTTP 400"},
	} {
		t.Run(name, func(t *testing.T) {
			defer tc.client.CloseIdleConnections()
			client := newClient(t, tc.url+"?tenant=a", signed, tc.client)
			_, err := client.CreateMessage(t.Context(), question())
			wantError(t, err, tc.wantKind, tc.wantDetail)
			if tc.wantKind != provider.KindRejected { // a probe has other answers for that
				wantError(t, client.Probe(t.Context()), tc.wantKind, tc.wantDetail)
			}
		})
	}
}

func TestProbe(t *testing.T) {
	for name, tc := range map[string]struct {
		status   int
		wantKind provider.Kind // empty: somebody is there
	}{
		"it knows OPTIONS":                        {204, ""},
		"it answers whatever it is asked":         {200, ""},
		"it reads a body that is not there":       {400, ""},
		"it has only POST":                        {405, ""},
		"it has nothing there but for POST":       {404, ""},
		"it was written with Python's own server": {501, ""},
		"it checks the signature":                 {401, provider.KindUnauthorized},
		"it lets nobody in":                       {403, provider.KindUnauthorized},
		"it is somewhere else":                    {301, provider.KindInvalid},
		"it is busy":                              {429, provider.KindRateLimited},
		"it is out of order":                      {503, provider.KindFailed},
	} {
		t.Run(name, func(t *testing.T) {
			client, handler := connect(t, reply(tc.status, "text/plain", ownWords), signed)
			err := client.Probe(t.Context())
			if tc.wantKind == "" && err != nil {
				t.Error(err)
			}
			if tc.wantKind != "" {
				wantError(t, err, tc.wantKind, "HTTP")
			}
			got := handler.only(t)
			if got.method != http.MethodOptions || len(got.body) > 0 {
				t.Errorf("%s with %d bytes, want OPTIONS without a body", got.method, len(got.body))
			}
			wantSigned(t, got, testKey)
		})
	}
}
