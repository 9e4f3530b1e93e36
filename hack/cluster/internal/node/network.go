package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"strings"

	"github.com/mcp-sampling/mcp-sampling-operator/hack/cluster/internal/settings"
	"github.com/mcp-sampling/mcp-sampling-operator/hack/cluster/internal/tunnel"
)

// networkCommands give the node its address. There is no default route: nothing leaves the node.
var networkCommands = []string{
	"ip link set lo up",
	"ip link add " + settings.NodeBridge + " type bridge",
	"ip addr add " + settings.NodeNetwork + " dev " + settings.NodeBridge,
	"ip link set " + settings.NodeBridge + " up",
	// A Service address is translated on its way out, and without a route there is no way out.
	"ip route add " + settings.ServiceNet + " dev " + settings.NodeBridge + " src " + settings.NodeIP,
	// A pod that is gone is refused at once instead of timing out.
	"ip route add unreachable " + settings.PodNetwork,
}

// networkSettings are those of the namespace, not of the machine.
var networkSettings = map[string]string{
	"/proc/sys/net/ipv4/ip_forward": "1",
	// Pods on one bridge reach each other by a Service only if the bridge asks the packet filter.
	"/proc/sys/net/bridge/bridge-nf-call-iptables": "1",
}

func setUpNetwork(ctx context.Context) error {
	for _, line := range networkCommands {
		words := strings.Fields(line)
		if out, err := exec.CommandContext(ctx, words[0], words[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", line, err, strings.TrimSpace(string(out)))
		}
	}
	for path, value := range networkSettings {
		err := os.WriteFile(path, []byte(value), 0o644)
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("the kernel has no %s: load the module br_netfilter", path)
		}
		if err != nil {
			return fmt.Errorf("setting %s: %w", path, err)
		}
	}
	return nil
}

// forward passes every connection on to the address, until the listener closes.
func forward(listener net.Listener, address string) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go forwardOne(conn, address)
	}
}

func forwardOne(outer net.Conn, address string) {
	inner, err := net.Dial("tcp", address)
	if err != nil {
		outer.Close()
		return // The API server is away; the client sees a closed connection and tries again.
	}
	tunnel.Join(outer, inner)
}
