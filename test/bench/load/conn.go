package load

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// exchangeTime bounds one exchange, so that a hung peer is an error.
const exchangeTime = 60 * time.Second

// keepTime is how long a connection is used again after it has rested: servers
// close those that rest for longer, two minutes in most cases.
const keepTime = time.Minute

// conn is one HTTP/1.1 connection that is kept, used by one goroutine. It knows
// what peers of the benchmarks send and no more of HTTP than that.
type conn struct {
	addr string
	net  net.Conn
	r    *bufio.Reader
	out  []byte
	body []byte
	used time.Time
}

// response is what came back. Its parts are valid until the next exchange.
type response struct {
	status   int
	session  string
	isEvents bool
	body     []byte
}

func (c *conn) connect() error {
	if c.net != nil {
		return nil
	}
	dialer := net.Dialer{Timeout: 10 * time.Second}
	dialed, err := dialer.DialContext(context.Background(), "tcp", c.addr)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	c.net = dialed
	if c.r == nil {
		c.r = bufio.NewReaderSize(nil, 4<<10)
	}
	c.r.Reset(dialed)
	return nil
}

func (c *conn) close() {
	if c.net != nil {
		_ = c.net.Close()
		c.net = nil
	}
}

// write sends a request. head ends before the blank line, without the length.
func (c *conn) write(head string, body []byte) error {
	now := time.Now()
	if now.Sub(c.used) > keepTime {
		c.close()
	}
	c.used = now
	if err := c.connect(); err != nil {
		return err
	}
	c.out = append(c.out[:0], head...)
	if body != nil {
		c.out = append(c.out, "Content-Length: "...)
		c.out = append(strconv.AppendInt(c.out, int64(len(body)), 10), "\r\n"...)
	}
	c.out = append(append(c.out, "\r\n"...), body...)
	if err := c.net.SetDeadline(now.Add(exchangeTime)); err != nil {
		return fmt.Errorf("set a deadline: %w", err)
	}
	if _, err := c.net.Write(c.out); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	return nil
}

// read reads a response. onEvent gets the data of each event of a stream as it
// comes; nil where nobody wants it.
func (c *conn) read(onEvent func(data []byte) error) (response, error) {
	resp, length, err := c.readHead()
	if err != nil {
		return resp, fmt.Errorf("read the header: %w", err)
	}
	c.body = c.body[:0]
	seen := 0
	look := func() error {
		if !resp.isEvents || onEvent == nil {
			return nil
		}
		n, err := eachEvent(c.body[seen:], onEvent)
		seen += n
		return err
	}
	if length >= 0 {
		if err := c.readPiece(length); err != nil {
			return resp, err
		}
		err = look()
	} else {
		err = c.readChunks(look)
	}
	resp.body = c.body
	return resp, err
}

// readHead returns the header, and -1 as the length of a body in chunks.
func (c *conn) readHead() (resp response, length int, err error) {
	line, err := c.line()
	if err != nil {
		return resp, 0, err
	}
	if len(line) < len("HTTP/1.1 200") {
		return resp, 0, fmt.Errorf("status line %q", line)
	}
	if resp.status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return resp, 0, fmt.Errorf("status line %q", line)
	}
	for {
		if line, err = c.line(); err != nil {
			return resp, 0, err
		}
		if len(line) == 0 {
			return resp, length, nil
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch { // by length first: most headers are of no interest
		case len(name) == 14 && bytes.EqualFold(name, []byte("Content-Length")):
			if length, err = strconv.Atoi(string(value)); err != nil {
				return resp, 0, fmt.Errorf("content length %q", value)
			}
		case len(name) == 17 && bytes.EqualFold(name, []byte("Transfer-Encoding")):
			length = -1
		case len(name) == 12 && bytes.EqualFold(name, []byte("Content-Type")):
			resp.isEvents = bytes.HasPrefix(value, []byte("text/event-stream"))
		case len(name) == 14 && bytes.EqualFold(name, []byte("Mcp-Session-Id")):
			resp.session = string(value)
		}
	}
}

func (c *conn) line() ([]byte, error) {
	line, err := c.r.ReadSlice('\n')
	if err != nil {
		return nil, fmt.Errorf("read a line: %w", err)
	}
	return bytes.TrimRight(line, "\r\n"), nil
}

func (c *conn) readPiece(n int) error {
	at := len(c.body)
	for cap(c.body) < at+n {
		c.body = append(c.body[:cap(c.body)], 0)
	}
	c.body = c.body[:at+n]
	if _, err := io.ReadFull(c.r, c.body[at:]); err != nil {
		return fmt.Errorf("read the body: %w", err)
	}
	return nil
}

func (c *conn) readChunks(look func() error) error {
	for {
		line, err := c.line()
		if err != nil {
			return err
		}
		size, err := strconv.ParseUint(string(line), 16, 31)
		if err != nil {
			return fmt.Errorf("chunk size %q", line)
		}
		if err := c.readPiece(int(size)); err != nil {
			return err
		}
		if _, err := c.line(); err != nil {
			return err
		}
		if size == 0 {
			return nil
		}
		if err := look(); err != nil {
			return err
		}
	}
}

var errManyLines = errors.New("an event has its data on several lines, which this client does not read")

// eachEvent calls f with the data of each whole event, and returns how many
// bytes these have. Servers end lines with LF or CRLF.
func eachEvent(b []byte, f func(data []byte) error) (n int, err error) {
	var data []byte
	for at := 0; ; {
		i := bytes.IndexByte(b[at:], '\n')
		if i < 0 {
			return n, nil
		}
		line := bytes.TrimSuffix(b[at:at+i], []byte("\r"))
		at += i + 1
		switch {
		case len(line) == 0:
			n = at
			if len(data) > 0 {
				if err := f(data); err != nil {
					return n, err
				}
			}
			data = nil
		case bytes.HasPrefix(line, []byte("data:")):
			if data != nil {
				return n, errManyLines
			}
			data = bytes.TrimPrefix(line[len("data:"):], []byte(" "))
		}
	}
}
