package outbound_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider/outbound"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newClient(t *testing.T, o outbound.Options) *http.Client {
	t.Helper()
	client := outbound.New(o)
	t.Cleanup(client.CloseIdleConnections)
	return client
}

// get returns the whole answer.
func get(t *testing.T, client *http.Client, url string) (string, error) {
	t.Helper()
	resp, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

// write replaces a file as the kubelet does.
func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func TestHeadersAreThoseOfTheMoment(t *testing.T) {
	var got http.Header
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header }))
	defer server.Close()
	path := filepath.Join(t.TempDir(), "token")
	client := newClient(t, outbound.Options{Headers: []config.Header{
		{Name: "x-team", Value: "blue"},
		{Name: "authorization", ValueFrom: &config.Credential{File: path}},
		{Name: "X-Env", ValueFrom: &config.Credential{Env: "OUTBOUND_TEST_HEADER"}},
	}})
	t.Setenv("OUTBOUND_TEST_HEADER", "from the environment")
	const secret = "s3cret"
	for _, step := range []struct{ name, file, want, wantDetail string }{
		{name: "the file is not there yet", wantDetail: "header Authorization: the value's file does not exist"},
		{name: "it comes", file: "Bearer one\n", want: "Bearer one"},
		{name: "it is rotated", file: "Bearer two\n", want: "Bearer two"},
		{name: "it is empty", file: "\n", wantDetail: "header Authorization: the value is empty"},
		{name: "it has a line end", file: "Bearer " + secret + "\nX-Evil: 1", wantDetail: "header Authorization: the value has a line end or another control character"},
		{name: "it is good again", file: "Bearer three", want: "Bearer three"},
	} {
		if step.file != "" {
			write(t, path, step.file)
		}
		got = nil
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer key")
		req.Header.Set("X-Other", "stays")
		resp, err := client.Do(req)
		if err == nil {
			resp.Body.Close()
		}
		if step.wantDetail != "" {
			var failure *provider.Error
			if !errors.As(err, &failure) || failure.Kind != provider.KindMissingKey || failure.Detail != step.wantDetail {
				t.Errorf("%s: error %#v, want the detail %q", step.name, err, step.wantDetail)
			}
			if strings.Contains(fmt.Sprintf("%v %+v", err, failure), secret) {
				t.Errorf("%s: the error quotes the value", step.name)
			}
			if got != nil {
				t.Errorf("%s: a request was sent", step.name)
			}
			continue
		}
		want := map[string][]string{"Authorization": {step.want}, "X-Team": {"blue"}, "X-Env": {"from the environment"}, "X-Other": {"stays"}}
		for _, name := range []string{"User-Agent", "Accept-Encoding", "Content-Length"} {
			got.Del(name)
		}
		if diff := cmp.Diff(want, map[string][]string(got)); err != nil || diff != "" {
			t.Errorf("%s: error %v, headers (-want +got):\n%s", step.name, err, diff)
		}
		if req.Header.Get("Authorization") != "Bearer key" {
			t.Errorf("%s: the caller's own request was changed", step.name)
		}
	}
}

func TestNothingFollowsARedirect(t *testing.T) {
	asked := false
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	defer other.Close()
	server := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	defer server.Close()
	client := newClient(t, outbound.Options{Headers: []config.Header{{Name: "X-Key", Value: "k"}}})
	resp, err := client.Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusTemporaryRedirect || asked {
		t.Errorf("HTTP %d, other host asked: %v; want the redirect itself", resp.StatusCode, asked)
	}
}

func TestAnswersAreBounded(t *testing.T) {
	endless := func(w http.ResponseWriter, _ *http.Request) {
		chunk := make([]byte, 64<<10)
		for {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/failed":
			w.WriteHeader(http.StatusInternalServerError)
			fallthrough
		case "/endless":
			endless(w, r)
			return
		}
		w.Write(make([]byte, 10<<20))
	}))
	defer server.Close()
	client := newClient(t, outbound.Options{})

	if body, err := get(t, client, server.URL); err != nil || len(body) != 10<<20 {
		t.Errorf("%d bytes and error %v of an answer of 10 MiB", len(body), err)
	}
	body, err := get(t, client, server.URL+"/endless")
	if !errors.Is(err, provider.ErrTooLong) || len(body) != 16<<20 {
		t.Errorf("%d bytes and error %v of an answer without end, want 16 MiB and ErrTooLong", len(body), err)
	}
	body, err = get(t, client, server.URL+"/failed")
	if !errors.Is(err, provider.ErrTooLong) || len(body) != 64<<10 {
		t.Errorf("%d bytes and error %v of a failure without end, want 64 KiB and ErrTooLong", len(body), err)
	}
}
