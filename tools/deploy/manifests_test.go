package deploy

import (
	"bytes"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

const (
	kubernetes = root + "/deploy/kubernetes/"
	examples   = root + "/deploy/config_examples/"
)

// variants are the two ways to run the gateway in Kubernetes, each with the example that shows it in one file.
var variants = map[string]string{"deployment": "kubernetes_deployment.yaml", "daemonset": "kubernetes_daemonset.yaml"}

var update = flag.Bool("update", false, "write the examples that kustomize builds")

// decode decodes one manifest into its type of Kubernetes' API. An unknown or doubled field is an error.
func decode(manifest []byte) (runtime.Object, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, appsv1.AddToScheme, networkingv1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	object, _, err := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer().Decode(manifest, nil, nil)
	return object, err
}

// manifests are the objects of one variant, as a cluster gets them.
type manifests struct {
	config   *corev1.ConfigMap
	services map[string]*corev1.Service
	policy   *networkingv1.NetworkPolicy // none of pods on the host's network
	pod      *corev1.PodTemplateSpec

	deployment *appsv1.Deployment // one of both
	daemonset  *appsv1.DaemonSet
}

// build builds a variant as kubectl apply -k does.
func build(t *testing.T, variant string) (m manifests, text []byte) {
	t.Helper()
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), kubernetes+variant)
	if err != nil {
		t.Fatal(err)
	}
	m.services = map[string]*corev1.Service{}
	for _, resource := range built.Resources() {
		one, err := resource.AsYAML()
		if err != nil {
			t.Fatal(err)
		}
		object, err := decode(one)
		if err != nil {
			t.Fatalf("%v in\n%s", err, one)
		}
		switch o := object.(type) {
		case *corev1.ConfigMap:
			m.config = o
		case *corev1.Service:
			m.services[o.Name] = o
		case *networkingv1.NetworkPolicy:
			m.policy = o
		case *appsv1.Deployment:
			m.deployment, m.pod = o, &o.Spec.Template
		case *appsv1.DaemonSet:
			m.daemonset, m.pod = o, &o.Spec.Template
		default:
			t.Errorf("a %T", object)
		}
	}
	if m.config == nil || m.pod == nil || len(m.pod.Spec.Containers) != 1 {
		t.Fatalf("%s lacks something:\n%v", variant, built)
	}
	text, err = built.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	return m, text
}

func TestDecodeIsStrict(t *testing.T) {
	for _, wrong := range []string{
		"apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {clusterIp: None}",
		"apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {clusterIP: None, clusterIP: None}",
		"apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {publishNotReadyAddresses: yes please}",
		"apiVersion: apps/v1\nkind: Service\nmetadata: {name: a}",
	} {
		if _, err := decode([]byte(wrong)); err == nil {
			t.Errorf("decoded:\n%s", wrong)
		}
	}
}

// Every file is what Kubernetes' API knows: the sources by themselves, kustomize's own apart, and what is built of them.
func TestManifestFiles(t *testing.T) {
	decoded := 0
	err := filepath.WalkDir(kubernetes, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || entry.Name() == "kustomization.yaml" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if _, err := decode(text); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		decoded++
		return nil
	})
	if err != nil || decoded < 8 {
		t.Errorf("%d files, %v", decoded, err)
	}
}

// The examples in one file are what kustomize builds; go test -C tools/deploy -run TestExamples -update writes them.
func TestExamples(t *testing.T) {
	for variant, file := range variants {
		_, built := build(t, variant)
		want := fmt.Appendf(nil, "# Made of deploy/kubernetes/%s, where the reasons are; a test holds it to it. Apply it: kubectl apply -f %s\n%s", variant, file, built)
		if *update {
			if err := os.WriteFile(examples+file, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(examples + file); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%v: %s is not what kustomize builds; -update writes it", err, file)
		}
	}
}

// What the issue, the guide and the gateway's own rules ask of the pods.
func TestPods(t *testing.T) {
	for variant := range variants {
		m, text := build(t, variant)
		spec, container := m.pod.Spec, m.pod.Spec.Containers[0]
		for what, holds := range map[string]bool{
			"no variables of Services":    spec.EnableServiceLinks != nil && !*spec.EnableServiceLinks,
			"no token":                    spec.AutomountServiceAccountToken != nil && !*spec.AutomountServiceAccountToken,
			"not root":                    *spec.SecurityContext.RunAsNonRoot && *spec.SecurityContext.RunAsUser > 0 && container.SecurityContext.RunAsUser == nil,
			"seccomp":                     spec.SecurityContext.SeccompProfile.Type == corev1.SeccompProfileTypeRuntimeDefault,
			"read-only":                   *container.SecurityContext.ReadOnlyRootFilesystem,
			"no escalation":               !*container.SecurityContext.AllowPrivilegeEscalation,
			"no capabilities":             slices.Equal(container.SecurityContext.Capabilities.Drop, []corev1.Capability{"ALL"}) && container.SecurityContext.Capabilities.Add == nil,
			"settings of the ConfigMap":   len(container.EnvFrom) == 1 && container.EnvFrom[0].ConfigMapRef.Name == m.config.Name,
			"livez":                       container.LivenessProbe.HTTPGet.Path == "/livez",
			"readyz":                      container.ReadinessProbe.HTTPGet.Path == "/readyz",
			"the guide's memory":          container.Resources.Limits.Memory().String() == "256Mi",
			"a stop within its time":      *spec.TerminationGracePeriodSeconds >= 10,
			"one replica, recreated":      m.deployment == nil || *m.deployment.Spec.Replicas == 1 && m.deployment.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType,
			"the host's network":          spec.HostNetwork == (m.daemonset != nil),
			"names on the host's network": !spec.HostNetwork || spec.DNSPolicy == corev1.DNSClusterFirstWithHostNet,
			"no second on the same ports": m.daemonset == nil || m.daemonset.Spec.UpdateStrategy.RollingUpdate.MaxSurge.IntValue() == 0,
			"a policy where one works":    spec.HostNetwork == (m.policy == nil),
			"no way out":                  m.policy == nil || slices.Contains(m.policy.Spec.PolicyTypes, networkingv1.PolicyTypeEgress) && m.policy.Spec.Egress == nil,
			"no difference at each diff":  !bytes.Contains(text, []byte("[]")), // the API server drops empty lists
			"an image that stays":         strings.Contains(container.Image, ":") && !strings.HasSuffix(container.Image, ":latest"),
		} {
			if !holds {
				t.Errorf("%s: %s", variant, what)
			}
		}
	}
}

// What names something else names it rightly: ports, labels, volumes, settings.
func TestWiring(t *testing.T) {
	for variant := range variants {
		m, _ := build(t, variant)
		container, settings := m.pod.Spec.Containers[0], m.config.Data
		ports := map[string]corev1.ContainerPort{}
		for _, p := range container.Ports {
			ports[p.Name] = p
		}
		if p := ports["states"]; p.Protocol != corev1.ProtocolUDP || fmt.Sprint(p.ContainerPort) != settings["VLLM_STATE_GATEWAY_UDP_PORT"] {
			t.Errorf("%s: states: %+v", variant, p)
		}
		if p := ports["http"]; p.Protocol != corev1.ProtocolTCP || p.ContainerPort != 8080 || settings["VLLM_STATE_GATEWAY_HTTP_ADDRESS"] != "" {
			t.Errorf("%s: http: %+v", variant, p)
		}
		if p := ports["health"]; p.Protocol != corev1.ProtocolTCP || ":"+fmt.Sprint(p.ContainerPort) != settings["VLLM_STATE_GATEWAY_HEALTH_ADDRESS"] {
			t.Errorf("%s: health: %+v", variant, p)
		}
		if scraped := m.pod.Annotations["prometheus.io/port"]; scraped != fmt.Sprint(ports["health"].ContainerPort) {
			t.Errorf("%s: scraped at %s", variant, scraped)
		}
		named := func(where string, port intstr.IntOrString, protocol corev1.Protocol) {
			if p, ok := ports[port.StrVal]; !ok || p.Protocol != protocol {
				t.Errorf("%s: %s: no port %s/%s", variant, where, port.String(), protocol)
			}
		}
		for probe, at := range map[string]intstr.IntOrString{"livez": container.LivenessProbe.HTTPGet.Port, "readyz": container.ReadinessProbe.HTTPGet.Port} {
			if named(probe, at, corev1.ProtocolTCP); at.StrVal != "health" {
				t.Errorf("%s: %s is asked at %s", variant, probe, at.String())
			}
		}

		labels := m.pod.Labels
		selects := func(where string, selector map[string]string) {
			for name, value := range selector {
				if labels[name] != value {
					t.Errorf("%s: %s selects %v, the pods have %v", variant, where, selector, labels)
				}
			}
			if len(selector) == 0 {
				t.Errorf("%s: %s selects everything", variant, where)
			}
		}
		if m.deployment != nil {
			selects("Deployment", m.deployment.Spec.Selector.MatchLabels)
		} else {
			selects("DaemonSet", m.daemonset.Spec.Selector.MatchLabels)
		}
		for name, service := range m.services {
			selects(name, service.Spec.Selector)
			states := false
			for _, p := range service.Spec.Ports {
				named(name, p.TargetPort, p.Protocol)
				states = states || p.Protocol == corev1.ProtocolUDP
			}
			if service.Spec.PublishNotReadyAddresses != states {
				t.Errorf("%s: %s: engines must reach a gateway before it is ready, and routers must not", variant, name)
			}
			// Kubernetes makes variables of a Service's name, in every pod that does not refuse them.
			if strings.HasPrefix(strings.ToUpper(strings.ReplaceAll(name, "-", "_")), "VLLM_STATE_GATEWAY") {
				t.Errorf("%s: the Service %s has the name of settings", variant, name)
			}
		}
		if s := m.services["elrar-state-gateway-headless"]; s == nil || s.Spec.ClusterIP != corev1.ClusterIPNone {
			t.Errorf("%s: headless Service: %+v", variant, s)
		}
		if p := m.policy; p != nil {
			selects("NetworkPolicy", p.Spec.PodSelector.MatchLabels)
			for _, rule := range p.Spec.Ingress {
				if len(rule.From) == 0 || len(rule.Ports) == 0 {
					t.Errorf("%s: a rule for everybody: %+v", variant, rule)
				}
				for _, port := range rule.Ports {
					named("NetworkPolicy", *port.Port, *port.Protocol)
				}
			}
			if len(p.Spec.Ingress) != 3 || len(p.Spec.Egress) != 0 || len(p.Spec.PolicyTypes) != 2 {
				t.Errorf("%s: %+v", variant, p.Spec)
			}
		}
		checkVolumes(t, variant, m)
	}
}

// checkVolumes: the log's directory is mounted, and has room for the files that the settings allow.
func checkVolumes(t *testing.T, variant string, m manifests) {
	t.Helper()
	volumes := map[string]corev1.Volume{}
	for _, v := range m.pod.Spec.Volumes {
		volumes[v.Name] = v
	}
	for _, container := range slices.Concat(m.pod.Spec.InitContainers, m.pod.Spec.Containers) {
		for _, mount := range container.VolumeMounts {
			v, ok := volumes[mount.Name]
			if !ok || mount.MountPath != filepath.Dir(m.config.Data["VLLM_STATE_GATEWAY_LOG_FILE"]) {
				t.Errorf("%s: %s mounts %+v", variant, container.Name, mount)
			}
			if empty := v.EmptyDir; empty != nil {
				var size, keep int64
				if _, err := fmt.Sscanf(m.config.Data["VLLM_STATE_GATEWAY_LOG_MAX_SIZE"], "%dMiB", &size); err != nil {
					t.Errorf("%s: LOG_MAX_SIZE: %v", variant, err)
				}
				if _, err := fmt.Sscan(m.config.Data["VLLM_STATE_GATEWAY_LOG_KEEP"], &keep); err != nil {
					t.Errorf("%s: LOG_KEEP: %v", variant, err)
				}
				// The log, the files kept if they did not compress at all, and one that is being compressed.
				if need := (1 + keep + 1) << 20 * size; empty.SizeLimit.Value() < need {
					t.Errorf("%s: room for %d bytes, and %d may come", variant, empty.SizeLimit.Value(), need)
				}
			}
		}
	}
}

// Both variants run the same gateway, but for where their log and their network are.
func TestVariantsAgree(t *testing.T) {
	a, _ := build(t, "deployment")
	b, _ := build(t, "daemonset")
	if !maps.Equal(a.config.Data, b.config.Data) {
		t.Error("other settings")
	}
	if x, y := a.pod.Spec.Containers[0].String(), b.pod.Spec.Containers[0].String(); x != y {
		t.Errorf("another container:\n%s\n%s", x, y)
	}
}

// The gateway takes the ConfigMap for its settings, every one of them.
func TestConfigMap(t *testing.T) {
	m, _ := build(t, "deployment")
	for _, name := range []string{"NETWORK_MODE", "UDP_PORT", "BIND_ADDRESS", "STALE_THRESHOLD", "ENABLE_LOG", "LOG_FILE"} {
		if _, ok := m.config.Data["VLLM_STATE_GATEWAY_"+name]; !ok {
			t.Errorf("the guide's %s is not there", name)
		}
	}
	check := exec.Command(binary, "check-config")
	check.Env = []string{}
	for name, value := range m.config.Data {
		check.Env = append(check.Env, name+"="+value)
	}
	out, err := check.CombinedOutput()
	if err != nil || strings.Contains(string(out), "warning") {
		t.Errorf("%v: %s", err, out)
	}
	for name := range m.config.Data {
		if !strings.Contains(string(out), name+" = ") {
			t.Errorf("%s is not in force:\n%s", name, out)
		}
	}
}
