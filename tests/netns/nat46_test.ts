/** IPv4 clients, IPv6 pods: the client appears there as the nat46 prefix and its own address, with its own port. */

import { requireGround } from "./harness/requirements.ts";
import { VIP } from "./harness/service.ts";
import { testSide } from "./mixed_fixture.ts";

await requireGround();

testSide({
  type: "nat46",
  vip: VIP,
  vipAll: "10.96.0.46",
  podAddress: (pod) => pod.address6,
  clientAddress: (client) => client.address,
  // 64:ff9b:1::10.1.1.2
  seenBy: () => "64:ff9b:1::a01:102",
  keepsPort: true,
});
