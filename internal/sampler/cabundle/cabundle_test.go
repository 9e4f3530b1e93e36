package cabundle_test

import (
	"crypto/x509"
	"encoding/pem"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/cabundle"
)

func TestCertificatesAreReadAgain(t *testing.T) {
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	good := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	want := x509.NewCertPool()
	want.AddCert(server.Certificate())
	path := filepath.Join(t.TempDir(), "ca.pem")
	file := cabundle.New(path)

	var before *x509.CertPool
	for _, step := range []struct {
		name, text  string // without a text the file stays as it is
		wantChanged bool
		wantErr     string
	}{
		{name: "no file", wantErr: "look for the CA bundle"},
		{name: "a file without certificates", text: "nonsense", wantErr: "write certificates in PEM"},
		{name: "the certificates that come later", text: good, wantChanged: true},
		{name: "a file that has not changed"},
		{name: "a file that lost them", text: "nonsense again", wantErr: "write certificates in PEM"},
		{name: "a file that is too long", text: good + strings.Repeat("\n", 5<<20), wantErr: "more than"},
		{name: "another file", text: good + good, wantChanged: true},
	} {
		if step.text != "" {
			write(t, path, step.text)
		}
		pool, err := file.Pool()
		if text := errorText(err); !strings.Contains(text, step.wantErr) || (text == "") != (step.wantErr == "") {
			t.Errorf("%s: error %q, want %q", step.name, text, step.wantErr)
		}
		if (pool != before) != step.wantChanged {
			t.Errorf("%s: the certificates changed: %v, want %v", step.name, pool != before, step.wantChanged)
		}
		if step.wantChanged && !pool.Equal(want) {
			t.Errorf("%s: other certificates than those of the file", step.name)
		}
		before = pool
	}

	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if pool, err := file.Pool(); pool != before || err == nil {
		t.Errorf("a file that went away took the certificates with it, or nobody is told: error %v", err)
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
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
