package sampler

import (
	"context"
	"net"
	"net/netip"
	"net/url"
	"reflect"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/bridge"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/proxy"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/resident"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/statusz"
)

// runResident keeps the sampler's own session as the configuration wants it,
// and starts it anew when that or the server changes.
func (s *Server) runResident(ctx context.Context) {
	for ctx.Err() == nil {
		changed := s.live.changed()
		cfg := s.live.current().cfg
		session, stop := context.WithCancel(ctx)
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.resident(session, cfg)
		}()
		for ctx.Err() == nil && sameResident(cfg, s.live.current().cfg) {
			select {
			case <-ctx.Done():
			case <-changed:
				changed = s.live.changed()
			}
		}
		stop()
		<-done
	}
}

func sameResident(a, b *config.Effective) bool {
	return reflect.DeepEqual(a.Upstream, b.Upstream) && a.ResidentSession == b.ResidentSession
}

func (s *Server) resident(ctx context.Context, cfg *config.Effective) {
	upstream := cfg.Upstream.Hash()
	s.finding.Store(&statusz.Server{State: statusz.ServerUnknown, Upstream: upstream})
	if cfg.ResidentSession.Mode == config.ResidentOff {
		return
	}
	resident.Run(ctx, resident.Options{
		URL:       s.ownURL(cfg),
		Transport: residentTransport(cfg),
		Hold:      cfg.ResidentSession.Mode == config.ResidentHold,
		NoRoom:    proxy.NoRoom,
		Unreachable: map[string]string{
			proxy.NoPods:         "the server has no running pods",
			proxy.NoName:         "its host name cannot be looked up",
			proxy.BadCertificate: "its certificate is not trusted",
			proxy.Redirected:     "it redirects to another address, which the sampler's log shows",
		},
		NoEndpoint: proxy.NoEndpoint,
		NoProcess:  bridge.NoRoom,
		Interval:   time.Duration(cfg.ResidentSession.Interval),
		Version:    s.Version,
		Report: func(found statusz.Server) {
			found.Upstream = upstream
			s.finding.Store(&found)
		},
		Sessions: cfg.Upstream.ProtocolEra == config.EraLegacy,
		Again:    s.again,
		Log:      s.Log,
	})
}

// lookAgain has the resident session look at the server if the newest finding is
// from before that time.
func (s *Server) lookAgain(since time.Time) {
	// A time that is still to come is reached by no look.
	if since.After(time.Now()) || !s.found().At.Before(since) {
		return
	}
	select {
	case s.again <- struct{}{}:
	default: // somebody has said so already
	}
}

func residentTransport(cfg *config.Effective) resident.Transport {
	if cfg.Upstream.Transport == config.TransportSSE {
		return resident.SSE
	}
	return resident.StreamableHTTP
}

func (s *Server) found() statusz.Server {
	if f := s.finding.Load(); f != nil {
		return *f
	}
	return statusz.Server{State: statusz.ServerUnknown}
}

// ownURL is the sampler's own endpoint, as it reaches it itself.
func (s *Server) ownURL(cfg *config.Effective) string {
	addr, _ := s.mcp.Addr().(*net.TCPAddr)
	host := addr.AddrPort().Addr().Unmap()
	if host.IsUnspecified() {
		host = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	own := url.URL{Scheme: "http", Host: netip.AddrPortFrom(host, addr.AddrPort().Port()).String(), Path: "/"}
	if upstream, err := url.Parse(cfg.Upstream.URL); err == nil && upstream.Path != "" {
		own.Path, own.RawPath = upstream.Path, upstream.RawPath
	}
	return own.String()
}
