package settings

import (
	"encoding/json"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
	kubeproxyv1alpha1 "k8s.io/kube-proxy/config/v1alpha1"
	kubeletv1beta1 "k8s.io/kubelet/config/v1beta1"
	"sigs.k8s.io/yaml"

	"github.com/mcp-sampling/mcp-sampling-operator/hack/cluster/internal/layout"
)

// A path with what has to be quoted in every format.
var cluster = layout.Cluster{Name: "dev", Dir: `/home/a "b"/clusters/dev`}

func TestConfigurationFilesAreValid(t *testing.T) {
	files := Files(cluster)
	for name, decode := range map[string]func([]byte) error{
		"kubelet.yaml": func(raw []byte) error {
			return yaml.UnmarshalStrict(raw, &kubeletv1beta1.KubeletConfiguration{})
		},
		"kube-proxy.yaml": func(raw []byte) error {
			return yaml.UnmarshalStrict(raw, &kubeproxyv1alpha1.KubeProxyConfiguration{})
		},
		"containerd.toml": func(raw []byte) error {
			var content map[string]any
			return toml.Unmarshal(raw, &content)
		},
		"cni/10-devcluster.conflist": func(raw []byte) error {
			var content map[string]any
			return json.Unmarshal(raw, &content)
		},
	} {
		t.Run(name, func(t *testing.T) {
			raw, ok := files[name]
			if !ok {
				t.Fatal("there is no such file")
			}
			if err := decode([]byte(raw)); err != nil {
				t.Errorf("%v in\n%s", err, raw)
			}
		})
	}
}

func TestKubeletKeepsImagesAndItsOwnCgroup(t *testing.T) {
	var got kubeletv1beta1.KubeletConfiguration
	if err := yaml.UnmarshalStrict([]byte(Files(cluster)["kubelet.yaml"]), &got); err != nil {
		t.Fatal(err)
	}
	if want := "/devcluster-dev"; got.CgroupRoot != want {
		t.Errorf("cgroupRoot = %q, want %q", got.CgroupRoot, want)
	}
	if got.ImageGCHighThresholdPercent == nil || *got.ImageGCHighThresholdPercent != 100 {
		t.Error("a full disk would make the kubelet remove images that nobody can pull again")
	}
}

func TestAddressesFitTheirNetworks(t *testing.T) {
	for sentence, test := range map[string]struct{ network, address string }{
		"DNS is a service address":                   {ServiceNet, DNSAddress},
		"the API server's is a service address":      {ServiceNet, apiServiceIP},
		"pods of the node are in the pods' network":  {PodNetwork, strings.TrimSuffix(PodSubnet, "/24")},
		"the node has an address of its own network": {NodeNetwork, NodeIP},
	} {
		t.Run(sentence, func(t *testing.T) {
			_, network, err := net.ParseCIDR(test.network)
			if err != nil {
				t.Fatal(err)
			}
			if !network.Contains(net.ParseIP(test.address)) {
				t.Errorf("%s is not in %s", test.address, test.network)
			}
		})
	}
}

func TestCertificatesCoverHowPartsAreCalled(t *testing.T) {
	server := Certificates(cluster)["kube-apiserver"]
	for _, name := range []string{"kubernetes.default.svc", "localhost"} {
		if !slices.Contains(server.DNSNames, name) {
			t.Errorf("the API server's certificate lacks the name %s", name)
		}
	}
	for _, ip := range []string{"127.0.0.1", NodeIP, apiServiceIP} {
		if !slices.ContainsFunc(server.IPs, net.ParseIP(ip).Equal) {
			t.Errorf("the API server's certificate lacks the address %s", ip)
		}
	}
	node := Clients(cluster)["kubelet"]
	if node.CommonName != "system:node:devcluster-dev" || node.Organization != "system:nodes" {
		t.Errorf("the node authorizer does not know %+v", node)
	}
}

func TestEveryPartRunsItsOwnProgramWithWholeArguments(t *testing.T) {
	for part, argv := range Commands(cluster) {
		if argv[0] != part {
			t.Errorf("%s runs %s", part, argv[0])
		}
		for _, arg := range argv {
			if strings.HasSuffix(arg, "=") || strings.Contains(arg, "%!") {
				t.Errorf("%s has the broken argument %q", part, arg)
			}
		}
	}
}
