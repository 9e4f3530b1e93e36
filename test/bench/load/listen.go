package load

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// Listen opens the session's own stream, as most callers do, and reads it until
// Hangup. onEnd is told when it ends otherwise.
func (c *Caller) Listen(onEnd func(error)) error {
	c.stream = &conn{addr: c.target.Addr}
	head := strings.Replace(c.head("listen", ""), "POST ", "GET ", 1)
	if err := c.stream.write(head, nil); err != nil {
		return fmt.Errorf("open the stream: %w", err)
	}
	resp, _, err := c.stream.readHead()
	if err != nil {
		return fmt.Errorf("open the stream: %w", err)
	}
	if resp.status != http.StatusOK || !resp.isEvents {
		return fmt.Errorf("open the stream: status %d", resp.status)
	}
	if err := c.stream.net.SetDeadline(time.Time{}); err != nil {
		return fmt.Errorf("open the stream: %w", err)
	}
	c.hungUp = make(chan struct{})
	c.streamOver = make(chan struct{})
	go func() {
		defer close(c.streamOver)
		_, err := io.Copy(io.Discard, c.stream.r)
		select {
		case <-c.hungUp:
		default:
			onEnd(fmt.Errorf("the stream ended: %w", orEOF(err)))
		}
	}()
	return nil
}

// Hangup closes the session's own stream.
func (c *Caller) Hangup() {
	if c.hungUp == nil {
		return
	}
	close(c.hungUp)
	_ = c.stream.net.Close()
	<-c.streamOver
	c.hungUp = nil
}

func orEOF(err error) error {
	if err == nil {
		return io.EOF
	}
	return err
}
