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
	"syscall"
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

// FromTransport says why there is no answer. ctx is that of the request: it
// tells a caller that left from a provider that is slow.
func FromTransport(ctx context.Context, err error) *Error {
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
