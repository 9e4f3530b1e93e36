package provider

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ErrTooLong is the cause of an answer that is longer than an adapter reads.
var ErrTooLong = errors.New("the answer is too long")

// DetailNoConnection is FromTransport's detail where it knows no better.
const DetailNoConnection = "no connection"

// FromStatus says what an HTTP status means that is no success. cause must
// hold neither message content nor a key.
func FromStatus(status int, cause error) *Error {
	e := &Error{Kind: KindRejected, Status: status, Detail: fmt.Sprintf("HTTP %d", status), Cause: cause}
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		e.Kind = KindUnauthorized
	case status == http.StatusTooManyRequests:
		e.Kind = KindRateLimited
	case status == http.StatusRequestTimeout || status == http.StatusGatewayTimeout:
		e.Kind = KindTimeout
	case status >= 500:
		e.Kind = KindFailed
	case status < 400:
		e.Kind = KindInvalid
		e.Detail += ": redirects are not followed"
	}
	return e
}

// FromResponse is FromStatus with what the headers say: when to ask again. It
// leaves the body alone.
func FromResponse(resp *http.Response, cause error) *Error {
	e := FromStatus(resp.StatusCode, cause)
	e.RetryAfter = retryAfter(resp.Header, time.Now())
	return e
}

// longestRetryAfter bounds what a provider can ask for.
const longestRetryAfter = 24 * time.Hour

// retryAfter reads when to ask again, 0 where that is not said or not readable:
// Retry-After in seconds or as a date (RFC 9110, 10.2.3), and retry-after-ms,
// which is more exact and of which OpenAI and Azure are fond.
func retryAfter(h http.Header, now time.Time) time.Duration {
	if wait, ok := number(h.Get("Retry-After-Ms"), time.Millisecond); ok {
		return wait
	}
	value := h.Get("Retry-After")
	if wait, ok := number(value, time.Second); ok {
		return wait
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	// By the provider's own clock, if it shows it.
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		now = date
	}
	return min(max(0, at.Sub(now)), longestRetryAfter)
}

func number(text string, unit time.Duration) (time.Duration, bool) {
	n, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if err != nil || !(n >= 0) { // also not a number
		return 0, false
	}
	return time.Duration(min(n*float64(unit), float64(longestRetryAfter))), true
}

// FromTransport says why there is no answer. ctx is that of the request: it
// tells a caller that left from a provider that is slow.
func FromTransport(ctx context.Context, err error) *Error {
	var known *Error
	if errors.As(err, &known) {
		return known // it was the client that kept the request here
	}
	e := &Error{Kind: KindUnreachable, Detail: DetailNoConnection, Cause: err}
	var (
		netErr     net.Error
		dnsErr     *net.DNSError
		verifyErr  *tls.CertificateVerificationError
		unknownCA  x509.UnknownAuthorityError
		wrongHost  x509.HostnameError
		alert      tls.AlertError
		notTLS     tls.RecordHeaderError
		deadline   = errors.Is(err, context.DeadlineExceeded) || errors.Is(ctx.Err(), context.DeadlineExceeded)
		wasAborted = errors.Is(err, context.Canceled) || errors.Is(ctx.Err(), context.Canceled)
	)
	switch {
	case deadline:
		e.Kind, e.Detail = KindTimeout, "no answer in time"
	case wasAborted:
		e.Kind, e.Detail = KindCanceled, "canceled"
	case errors.Is(err, ErrTooLong):
		e.Kind, e.Detail = KindInvalid, "the answer is too long"
	case errors.As(err, &dnsErr):
		e.Detail = "the host name cannot be resolved"
	case errors.Is(err, syscall.ECONNREFUSED):
		e.Detail = "connection refused"
	case errors.As(err, &verifyErr), errors.As(err, &unknownCA), errors.As(err, &wrongHost):
		e.Detail = "its TLS certificate is not trusted"
	case errors.Is(err, http.ErrSchemeMismatch), errors.As(err, &notTLS):
		e.Detail = "it does not speak TLS at this port"
	case errors.As(err, &alert):
		e.Detail = "the TLS handshake failed"
	case errors.As(err, &netErr) && netErr.Timeout():
		e.Kind, e.Detail = KindTimeout, "no answer in time"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		e.Detail = "the connection was closed"
	}
	return e
}
