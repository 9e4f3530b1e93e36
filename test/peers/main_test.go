package peers

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// Programs of other makers that are Go packages, and our own.
const (
	samplerPackage         = "../../cmd/sampler"
	mcpGoConformance       = "github.com/mark3labs/mcp-go/examples/conformance"
	goSDKEverything        = "github.com/modelcontextprotocol/go-sdk/conformance/everything-server"
	installed              = "../../hack/peers.sh"
	patience               = 90 * time.Second
	timeToInstallAndToMake = 10 * time.Minute
)

// lab is where everything is that the tests run.
var lab struct {
	node, modules, fastmcp3, fastmcp4    string // from hack/peers.sh
	sampler, mcpGo, goSDK                string // built
	servers, callers, scratch, directory string // copies, beside the modules that they import
}

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	defer func() { _ = os.RemoveAll(lab.directory) }()
	if err := prepare(); err != nil {
		fmt.Fprintln(os.Stderr, "prepare the peers:", err)
		return 1
	}
	status := m.Run()
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		status = 1
	}
	if status != 0 {
		return status // the table would lack what failed
	}
	if err := table.finish(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// prepare installs what is not in the cache yet, and builds the programs.
func prepare() error {
	ctx, cancel := context.WithTimeout(context.Background(), timeToInstallAndToMake)
	defer cancel()
	install := exec.CommandContext(ctx, installed)
	install.Stderr = os.Stderr
	out, err := install.Output()
	if err != nil {
		return fmt.Errorf("%s: %w", installed, err)
	}
	places := map[string]*string{"node": &lab.node, "modules": &lab.modules, "fastmcp3": &lab.fastmcp3, "fastmcp4": &lab.fastmcp4}
	for line := range strings.Lines(string(out)) {
		name, path, _ := strings.Cut(strings.TrimSpace(line), "=")
		if place := places[name]; place != nil {
			*place = path
		}
	}
	for name, place := range places {
		if *place == "" {
			return fmt.Errorf("%s printed no line %s=", installed, name)
		}
	}

	if lab.directory, err = os.MkdirTemp("", "peers-"); err != nil {
		return err
	}
	lab.sampler, lab.mcpGo, lab.goSDK = inLab("sampler"), inLab("mcp-go"), inLab("go-sdk")
	for binary, pkg := range map[string]string{lab.sampler: samplerPackage, lab.mcpGo: mcpGoConformance, lab.goSDK: goSDKEverything} {
		build := exec.CommandContext(ctx, "go", "build", "-o", binary, pkg)
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w\n%s", pkg, err, out)
		}
	}

	// Node looks for modules beside the file that imports them.
	lab.servers, lab.callers, lab.scratch = inLab("servers"), inLab("callers"), inLab("scratch")
	return errors.Join(
		os.Symlink(lab.modules, inLab("node_modules")),
		os.Mkdir(lab.scratch, 0o755),
		os.CopyFS(lab.servers, os.DirFS("servers")),
		os.CopyFS(lab.callers, os.DirFS("callers")),
	)
}

func inLab(name string) string { return filepath.Join(lab.directory, name) }
