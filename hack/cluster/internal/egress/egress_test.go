package egress

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

// testLimit ends a test that waits for what does not come.
const testLimit = 10 * time.Second

func TestCallersReachTheMachinesLoopbackByName(t *testing.T) {
	type seen struct{ Host, Path, Authorization, ProxyAuthorization, Body string }
	for sentence, test := range map[string]struct {
		newServer func(http.Handler) *httptest.Server
		scheme    string
		// A tunnel passes the request on unread, a plain request gets the name that it goes to.
		wantHost func(port string) string
	}{
		"through a tunnel": {
			newServer: httptest.NewTLSServer, scheme: "https",
			wantHost: func(port string) string { return HostName + ":" + port },
		},
		"by a plain request": {
			newServer: httptest.NewServer, scheme: "http",
			wantHost: func(port string) string { return "127.0.0.1:" + port },
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			defer goleak.VerifyNone(t)
			requests := make(chan seen, 1)
			server := test.newServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				requests <- seen{r.Host, r.URL.RequestURI(), r.Header.Get("Authorization"), r.Header.Get("Proxy-Authorization"), string(body)}
				_, _ = io.WriteString(w, "answer")
			}))
			defer server.Close()
			client, done := proxied(t)
			defer done()
			port := portIn(t, server.URL)

			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost,
				test.scheme+"://"+HostName+":"+port+"/v1/x?y=%2F", strings.NewReader("question"))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer key")
			resp, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if answer, err := io.ReadAll(resp.Body); string(answer) != "answer" {
				t.Errorf("answer = %q, %v", answer, err)
			}
			want := seen{Host: test.wantHost(port), Path: "/v1/x?y=%2F", Authorization: "Bearer key", Body: "question"}
			if diff := cmp.Diff(want, <-requests); diff != "" {
				t.Errorf("what the server saw (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPlainAnswersArePassedOnAsTheyCome(t *testing.T) {
	defer goleak.VerifyNone(t)
	goOn := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "first\n")
		_ = http.NewResponseController(w).Flush()
		<-goOn
		_, _ = io.WriteString(w, "second\n")
	}))
	defer server.Close()
	client, done := proxied(t)
	defer done()

	resp, err := client.Get("http://" + HostName + ":" + portIn(t, server.URL))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewReader(resp.Body)
	first, err := lines.ReadString('\n')
	close(goOn)
	if err != nil || first != "first\n" {
		t.Fatalf("before the end there was %q, %v", first, err)
	}
	if rest, err := io.ReadAll(lines); err != nil || string(rest) != "second\n" {
		t.Errorf("the rest is %q, %v", rest, err)
	}
}

func TestRequestsThatLeadNowhereAreAnsweredWithTheReason(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, closed, _ := net.SplitHostPort(taken.Addr().String())
	taken.Close()
	for sentence, test := range map[string]struct {
		request    string
		wantStatus int
		wantText   string
	}{
		"127.0.0.1 is the caller's own":              {"GET http://127.0.0.1:1/ HTTP/1.1", 403, HostName},
		"a tunnel to it too":                         {"CONNECT 127.0.0.1:1 HTTP/1.1", 403, HostName},
		"and a name that stands for it":              {"CONNECT localhost:1 HTTP/1.1", 403, HostName},
		"and no address at all, which is the same":   {"CONNECT 0.0.0.0:1 HTTP/1.1", 403, HostName},
		"and the mapped form":                        {"CONNECT [::ffff:127.0.0.1]:1 HTTP/1.1", 403, HostName},
		"nobody listens for a plain request":         {"GET http://" + HostName + ":" + closed + "/v1?key=secret HTTP/1.1", 502, "refused"},
		"nobody listens for a tunnel":                {"CONNECT " + HostName + ":" + closed + " HTTP/1.1", 502, "refused"},
		"a tunnel needs a port":                      {"CONNECT example.com HTTP/1.1", 502, "port"},
		"its own address is no page":                 {"GET / HTTP/1.1", 400, "HTTPS_PROXY"},
		"an encrypted request is not made by others": {"GET https://" + HostName + "/ HTTP/1.1", 400, "HTTPS_PROXY"},
		"it says that it works":                      {"GET " + HealthPath + " HTTP/1.1", 200, "ok"},
	} {
		t.Run(sentence, func(t *testing.T) {
			var log bytes.Buffer
			before := slog.Default()
			slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
			defer slog.SetDefault(before)
			conn, done := connected(t)
			defer done()
			if _, err := io.WriteString(conn, test.request+"\r\nHost: proxy\r\nConnection: close\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, _ := io.ReadAll(resp.Body)
			if resp.StatusCode != test.wantStatus || !strings.Contains(string(body), test.wantText) {
				t.Errorf("answer = %s %q, want %d and %q", resp.Status, body, test.wantStatus, test.wantText)
			}
			if strings.Contains(log.String(), "secret") {
				t.Errorf("the log holds what may be a key: %s", log.String())
			}
		})
	}
}

func TestWhatIsSentBeforeTheTunnelStandsIsPassedOn(t *testing.T) {
	defer goleak.VerifyNone(t)
	upstream, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer upstream.Close()
	got := make(chan string, 1)
	go func() {
		conn, err := upstream.Accept()
		if err != nil {
			got <- err.Error()
			return
		}
		defer conn.Close()
		question, _ := io.ReadAll(conn)
		got <- string(question)
	}()
	conn, done := connected(t)
	defer done()
	_, port, _ := net.SplitHostPort(upstream.Addr().String())
	if _, err := io.WriteString(conn, "CONNECT "+HostName+":"+port+" HTTP/1.1\r\nHost: x\r\n\r\nearly"); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: http.MethodConnect})
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("the tunnel does not stand: %v, %v", resp, err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if question := <-got; question != "early" {
		t.Errorf("the other side got %q", question)
	}
}

func TestLoopbackAddresses(t *testing.T) {
	for address, want := range map[string]bool{
		"127.0.0.1:80":        true,
		"127.8.0.1:80":        true,
		"[::1]:80":            true,
		"0.0.0.0:80":          true,
		"[::]:80":             true,
		"[::ffff:127.0.0.1]:": true,
		"nonsense":            true,
		"10.0.0.1:80":         false,
		"192.0.2.1:443":       false,
		"[2001:db8::1]:443":   false,
	} {
		if got := isLoopback(address); got != want {
			t.Errorf("isLoopback(%q) = %t, want %t", address, got, want)
		}
	}
}

// serve starts a proxy and returns its address.
func serve(t *testing.T) (address string, done func()) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- Serve(listener) }()
	return listener.Addr().String(), func() {
		listener.Close()
		<-ended
	}
}

func proxied(t *testing.T) (client *http.Client, done func()) {
	t.Helper()
	address, stop := serve(t)
	transport := &http.Transport{
		Proxy:             http.ProxyURL(&url.URL{Scheme: "http", Host: address, User: url.UserPassword("name", "word")}),
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // The server's certificate is for another name.
		DisableKeepAlives: true,
	}
	return &http.Client{Transport: transport, Timeout: testLimit}, func() {
		transport.CloseIdleConnections()
		stop()
	}
}

func connected(t *testing.T) (conn net.Conn, done func()) {
	t.Helper()
	address, stop := serve(t)
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.SetDeadline(time.Now().Add(testLimit)); err != nil {
		t.Fatal(err)
	}
	return conn, func() {
		conn.Close()
		stop()
	}
}

func portIn(t *testing.T, address string) string {
	t.Helper()
	parsed, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return parsed.Port()
}
