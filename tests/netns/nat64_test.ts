/** IPv6 clients, IPv4 pods: the client appears there as the node, by its address on the pod's link and a port of its own. */

import { requireGround } from "./harness/requirements.ts";
import { VIP6 } from "./harness/service.ts";
import { testSide } from "./mixed_fixture.ts";

await requireGround();

testSide({
  type: "nat64",
  vip: VIP6,
  vipAll: "fd00:96::64",
  podAddress: (pod) => pod.address,
  clientAddress: (client) => client.address6,
  seenBy: (pod) => pod.gateway,
  keepsPort: false,
});
