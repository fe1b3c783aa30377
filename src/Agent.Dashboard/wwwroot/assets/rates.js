// Figures that need two samples. A first sample, or the first after a restart, has none: the API gives 0 where nothing is known.

const RATE = /^(disk|network)_|^tcp_retransmits/;

/** A snapshot, or a part of one, without what a sample that follows none cannot tell. */
export function ofLast(snapshot) {
  if (snapshot === null || snapshot === undefined || snapshot.interval_seconds !== null) return snapshot;
  const known = Object.entries(snapshot).map(([key, value]) => [key, RATE.test(key) ? null : value]);
  return { ...Object.fromEntries(known), disks: snapshot.disks?.map(({ device }) => ({ device })) };
}

/** Bytes a second in both directions: what "network" means everywhere on these pages. */
export function traffic({ network_rx_bytes_per_s: received, network_tx_bytes_per_s: sent }) {
  return (received ?? sent ?? null) === null ? null : (received ?? 0) + (sent ?? 0);
}
