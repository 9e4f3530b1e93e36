package node

import (
	"io"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestForwardPassesBothDirectionsAndTheirEndsOn(t *testing.T) {
	defer goleak.VerifyNone(t)
	inner, outer := listen(t), listen(t)
	forwarding := make(chan struct{})
	go func() {
		defer close(forwarding)
		forward(outer, inner.Addr().String())
	}()
	served := make(chan error, 1)
	go func() {
		conn, err := inner.Accept()
		if err != nil {
			served <- err
			return
		}
		defer conn.Close()
		// The answer is written only after the end of the question has arrived.
		question, err := io.ReadAll(conn)
		if err == nil {
			_, err = conn.Write(append([]byte("re: "), question...))
		}
		served <- err
	}()

	conn, err := net.Dial("tcp", outer.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte("question")); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil || string(answer) != "re: question" {
		t.Errorf("answer = %q, %v", answer, err)
	}
	if err := <-served; err != nil {
		t.Errorf("the inner side: %v", err)
	}
	outer.Close()
	inner.Close()
	<-forwarding
}

func TestForwardClosesAConnectionThatNobodyTakes(t *testing.T) {
	defer goleak.VerifyNone(t)
	gone, outer := listen(t), listen(t)
	gone.Close()
	forwarding := make(chan struct{})
	go func() {
		defer close(forwarding)
		forward(outer, gone.Addr().String())
	}()
	conn, err := net.Dial("tcp", outer.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("read %d bytes and %v, want the end at once", n, err)
	}
	outer.Close()
	<-forwarding
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}
