package store

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"syscall"

	"github.com/redis/go-redis/v9"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/secret"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/statusz"
)

// Classify says in words that are safe to show what an error of a Client means.
// None of them is the store's own.
func Classify(err error) (statusz.StoreState, string) {
	if noPassword, ok := errors.AsType[*secret.Error](err); ok {
		return statusz.StoreRefused, noPassword.Detail
	}
	for _, prefix := range []string{"WRONGPASS", "NOAUTH", "ERR AUTH", "ERR invalid password", "ERR Client sent AUTH", "ERR invalid username"} {
		if redis.HasErrorPrefix(err, prefix) {
			return statusz.StoreRefused, "the store refuses the username or the password"
		}
	}
	if redis.HasErrorPrefix(err, "NOPERM") {
		return statusz.StoreRefused, "the store's user may not run scripts or use keys that begin with mcp-sampling:"
	}
	return statusz.StoreUnreachable, unreachable(err)
}

func unreachable(err error) string {
	if dns, ok := errors.AsType[*net.DNSError](err); ok && dns.IsNotFound {
		return "no such host"
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "the certificate is not trusted"
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "the certificate is not trusted"
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return "the certificate is for another host"
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return "it does not speak TLS"
	}
	if _, ok := errors.AsType[redis.Error](err); ok {
		return answered(err)
	}
	timeout, ok := errors.AsType[net.Error](err)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, os.ErrNotExist):
		return "the file of certificates does not exist"
	case errors.Is(err, context.DeadlineExceeded), ok && timeout.Timeout():
		return "no answer in time"
	default:
		return "the connection failed"
	}
}

// answered is for a store that answers with an error.
func answered(err error) string {
	for prefix, detail := range map[string]string{
		"LOADING":     "it is loading its data",
		"READONLY":    "it is a read-only replica",
		"MASTERDOWN":  "it is a replica without its master",
		"OOM":         "it is out of memory",
		"MISCONF":     "it cannot write its data",
		"MOVED":       "it is a cluster, of which another node keeps the counts",
		"CLUSTERDOWN": "it is a cluster that is down",
		"ERR unknown": "it does not know a command that is needed",
	} {
		if redis.HasErrorPrefix(err, prefix) {
			return detail
		}
	}
	return "it answers with an error"
}
