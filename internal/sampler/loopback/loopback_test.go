package loopback

import (
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestIsLocal(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "LOCALHOST:8080": true, "localhost.:1": true,
		"127.0.0.1": true, "127.0.0.1:8080": true, "127.1.2.3:1": true,
		"[::1]": true, "[::1]:8080": true, "::1": true, "[::ffff:127.0.0.1]:1": true,
		"": false, "evil.example": false, "evil.example:8080": false, "localhost.evil.example": false,
		"127.0.0.1.evil.example": false, "10.0.0.1:8080": false, "[::]:1": false, "0.0.0.0": false,
	} {
		if got := isLocal(host); got != want {
			t.Errorf("isLocal(%q) = %v, want %v", host, got, want)
		}
	}
}

func TestOnlyWhatListensForThisMachineLooksAtTheHost(t *testing.T) {
	served := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	for address, want := range map[string]int{
		"127.0.0.1:0": http.StatusForbidden,
		":0":          http.StatusNoContent,
	} {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest(http.MethodPost, "http://evil.example/mcp", nil)
		w := httptest.NewRecorder()
		Only(l, served).ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("listening on %s: status %d for a foreign host, want %d", address, w.Code, want)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
