package main

import (
	"net"
	"testing"
)

func TestConnectTellsWhatListens(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := run(t.Context(), []string{"connect", address}); err != nil {
		t.Errorf("connect to what listens: %v", err)
	}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	if err := run(t.Context(), []string{"connect", address}); err == nil {
		t.Error("connected to what no longer listens")
	}
}

func TestUnknownWordsAreRefused(t *testing.T) {
	for _, words := range [][]string{nil, {"connect"}, {"ping", "example.com:80"}} {
		if err := run(t.Context(), words); err == nil {
			t.Errorf("%q was taken", words)
		}
	}
}
