/**
 * examples/kubernetes/daemonset.yaml against Kubernetes' own types: the objects below are checked by the compiler, keys that the API does not
 * know included, and the file says exactly that.
 */

import { assert, assertEquals } from "@std/assert";
import { loadAll } from "js-yaml";
import type { DaemonSet } from "kubernetes-types/apps/v1.d.ts";
import type { ConfigMap, Container, PodSpec } from "kubernetes-types/core/v1.d.ts";
import { loadConfig } from "../../../mod/config/file.ts";
import { parse as parseRun } from "../../../cli/run.ts";

const EXAMPLES = new URL("../../../examples/", import.meta.url);
const [CONFIG_MAP, DAEMON_SET] = loadAll(
  Deno.readTextFileSync(new URL("kubernetes/daemonset.yaml", EXAMPLES)),
) as [ConfigMap, DaemonSet];

const labels = { "app.kubernetes.io/name": "ku" };
const COMMAND =
  "mount -o remount,rw /proc/sys && exec /usr/local/bin/ku run --config /etc/ku/ku.yaml --state-dir /var/lib/ku --metrics 0.0.0.0:9753 --log-format json";

const container: Container = {
  name: "ku",
  image: "images.example/ku:0.1.0",
  command: ["/bin/sh", "-ec", COMMAND],
  securityContext: {
    runAsUser: 0,
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem: true,
    appArmorProfile: { type: "Unconfined" },
    capabilities: { drop: ["ALL"], add: ["NET_ADMIN", "NET_RAW", "IPC_LOCK", "SYS_ADMIN"] },
  },
  ports: [{ name: "metrics", containerPort: 9753, hostPort: 9753, protocol: "TCP" }],
  readinessProbe: { httpGet: { path: "/readyz", port: "metrics" }, periodSeconds: 5 },
  livenessProbe: { httpGet: { path: "/healthz", port: "metrics" }, periodSeconds: 10, failureThreshold: 6 },
  resources: { requests: { cpu: "100m", memory: "256Mi" } },
  volumeMounts: [
    { name: "config", mountPath: "/etc/ku", readOnly: true },
    { name: "run", mountPath: "/run/ku" },
    { name: "state", mountPath: "/var/lib/ku" },
  ],
};

const pod: PodSpec = {
  hostNetwork: true,
  dnsPolicy: "Default",
  priorityClassName: "system-node-critical",
  automountServiceAccountToken: false,
  terminationGracePeriodSeconds: 20,
  tolerations: [{ operator: "Exists" }],
  nodeSelector: { "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64" },
  containers: [container],
  volumes: [
    { name: "config", configMap: { name: "ku" } },
    { name: "run", hostPath: { path: "/run/ku", type: "DirectoryOrCreate" } },
    { name: "state", hostPath: { path: "/var/lib/ku", type: "DirectoryOrCreate" } },
  ],
};

const DAEMON_SET_TYPED: DaemonSet = {
  apiVersion: "apps/v1",
  kind: "DaemonSet",
  metadata: { name: "ku", namespace: "kube-system", labels },
  spec: {
    selector: { matchLabels: labels },
    updateStrategy: { type: "RollingUpdate", rollingUpdate: { maxUnavailable: 1 } },
    template: {
      metadata: { labels, annotations: { "prometheus.io/scrape": "true", "prometheus.io/port": "9753" } },
      spec: pod,
    },
  },
};

Deno.test("the DaemonSet is what the API's types allow", () => {
  assertEquals(DAEMON_SET, DAEMON_SET_TYPED);
});

Deno.test("its configuration is one, its command line is one of ku run", () => {
  assertEquals([CONFIG_MAP.apiVersion, CONFIG_MAP.kind, CONFIG_MAP.metadata], ["v1", "ConfigMap", {
    name: "ku",
    namespace: "kube-system",
  }]);
  loadConfig(CONFIG_MAP.data!["ku.yaml"], "ku.yaml");
  const options = parseRun(COMMAND.split("ku run ")[1].split(" "));
  assertEquals([options?.config, options?.stateDir], ["/etc/ku/ku.yaml", "/var/lib/ku"]);
});

Deno.test("what refers to something finds it: volumes, ports, folders", () => {
  const volumes = pod.volumes!.map(({ name }) => name);
  assertEquals(container.volumeMounts!.map(({ name }) => name), volumes);
  const mounts = container.volumeMounts!.map(({ mountPath }) => mountPath);
  for (const path of COMMAND.match(/\/(?:etc|var)\/\S+/g)!) {
    assert(mounts.some((mount) => path.startsWith(mount)), path);
  }
  assert(mounts.includes("/run/ku"), "the socket's folder");
});

Deno.test("it has the capabilities that the systemd unit has, and no others", () => {
  const unit = Deno.readTextFileSync(new URL("systemd/ku.service", EXAMPLES));
  const names = /^CapabilityBoundingSet=(.*)$/m.exec(unit)![1].split(" ").map((name) =>
    name.replace("CAP_", "")
  );
  assertEquals([...container.securityContext!.capabilities!.add!].sort(), names.sort());
});
