// Package e2e tests the product on a real cluster: the operator is installed by
// Helm, servers and policies are applied as users apply them, and callers that
// cannot sample call tools and look at the answers.
//
// hack/e2e.sh (make test-e2e) brings cluster, images and operator up and says
// where they are:
//
//	E2E_KUBECONFIG           the cluster
//	E2E_KUBECTL, E2E_HELM    the programs (default: those on the PATH)
//	E2E_IMAGES               where the images of the servers are (default localhost)
//	E2E_PEERS_TAG            tag of the image with the fake peers (default dev)
//	E2E_PROMETHEUS_TAG       tag of the image with Prometheus; without it that test is
//	                         left out
//	E2E_PREVIOUS             images of the release before, manager and sampler, to
//	                         upgrade from; without it that test is left out
//	E2E_SMALL_MODEL          "skip" leaves out the test with the real small model
package e2e

import (
	"cmp"
	"fmt"
	"os"
	"testing"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

// run refuses to let a forgotten cluster look like a passed test.
func run(m *testing.M) int {
	log.SetLogger(logr.Discard()) // of controller-runtime's client
	kubeconfig := os.Getenv("E2E_KUBECONFIG")
	if kubeconfig == "" {
		fmt.Println("=== end to end: SKIPPED: E2E_KUBECONFIG names no cluster; run `make test-e2e`, which starts one")
		if os.Getenv("CI") == "true" {
			fmt.Println("a skip is a failure where CI=true")
			return 1
		}
		return 0
	}
	var err error
	if theCluster, err = connect(kubeconfig); err != nil {
		fmt.Println(err)
		return 1
	}
	return m.Run()
}

// image returns the reference of one of the images that hack/e2e.sh loads.
func image(name, tag string) string {
	return cmp.Or(os.Getenv("E2E_IMAGES"), "localhost") + "/" + name + ":" + tag
}

// peersImage holds the fake model, the server of the Go SDK and the caller.
func peersImage() string { return image("e2e-peers", cmp.Or(os.Getenv("E2E_PEERS_TAG"), "dev")) }
