/// `/sys/class/net`: what each network interface is, and which of them carry what enters and leaves the machine.
/// See Documentation/ABI/testing/sysfs-class-net. A packet that comes in by a bond, a VLAN on it and a bridge on that is
/// counted by every one of them; the totals count it once.
[<RequireQualifiedAccess>]
module Agent.Core.Sys.NetClass

open System
open System.Collections.Generic
open Agent.Core

/// Which interfaces count: those of the first case that any interface of the machine has.
[<RequireQualifiedAccess>]
type Layer =
    /// A device of its own: a port, a virtual machine's adapter.
    | Physical
    /// The end of a stack without a device, as the `eth0` of a container: nothing that can be seen carries it.
    | Top
    /// A bridge without a device below it.
    | Bridge
    /// A tunnel, or one end of a pair whose other end is in a container: its bytes travel by other interfaces.
    | Tunnel
    /// Never counts: the loopback, and what another interface counts already.
    | Never

/// What an interface is.
[<Struct; NoComparison>]
type Interface =
    {
        /// `physical`, `bond`, `bridge`, `vlan`, `veth`, `tun` and the like: the kernel's word where it has one.
        Kind: string
        /// The bond, bridge or synthetic twin that it is a port of; empty for none.
        Master: string
        /// When it counts.
        Layer: Layer
    }

/// What /sys says of the machine's interfaces, by name.
type Table = IReadOnlyDictionary<string, Interface>

/// Nothing is known.
[<CompiledName "Unknown">]
let unknown: Table = Dictionary<string, Interface>(StringComparer.Ordinal)

let private startsWith (beginning: string) (name: string) =
    name.StartsWith(beginning, StringComparison.Ordinal)

/// What the usual tools call what they make, by how the names begin; `#` stands for a digit.
let private kinds =
    [|
        struct ("bond", "bond", Layer.Top)
        struct ("team", "team", Layer.Top)
        struct ("br-", "bridge", Layer.Bridge)
        struct ("br#", "bridge", Layer.Bridge)
        struct ("docker", "bridge", Layer.Bridge)
        struct ("virbr", "bridge", Layer.Bridge)
        struct ("vmbr", "bridge", Layer.Bridge)
        struct ("xenbr", "bridge", Layer.Bridge)
        struct ("lxcbr", "bridge", Layer.Bridge)
        struct ("lxdbr", "bridge", Layer.Bridge)
        struct ("cni", "bridge", Layer.Bridge)
        struct ("podman", "bridge", Layer.Bridge)
        struct ("kube-bridge", "bridge", Layer.Bridge)
        struct ("vlan", "vlan", Layer.Tunnel)
        struct ("veth", "veth", Layer.Tunnel)
        struct ("cali", "veth", Layer.Tunnel)
        struct ("lxc", "veth", Layer.Tunnel)
        struct ("cilium_", "veth", Layer.Tunnel)
        struct ("eni", "veth", Layer.Tunnel)
        struct ("gke", "veth", Layer.Tunnel)
        struct ("azv", "veth", Layer.Tunnel)
        struct ("fwpr", "veth", Layer.Tunnel)
        struct ("fwln", "veth", Layer.Tunnel)
        struct ("vif#", "veth", Layer.Tunnel)
        struct ("tun", "tun", Layer.Tunnel)
        struct ("tailscale", "tun", Layer.Tunnel)
        struct ("tap", "tap", Layer.Tunnel)
        struct ("vnet#", "tap", Layer.Tunnel)
        struct ("zt", "tap", Layer.Tunnel)
        struct ("wg#", "wireguard", Layer.Tunnel)
        struct ("ppp#", "ppp", Layer.Tunnel)
        struct ("flannel", "vxlan", Layer.Tunnel)
        struct ("vxlan", "vxlan", Layer.Tunnel)
        struct ("genev", "geneve", Layer.Tunnel)
        struct ("macvlan", "macvlan", Layer.Tunnel)
        struct ("macvtap", "macvtap", Layer.Tunnel)
        struct ("ipvlan", "ipvlan", Layer.Tunnel)
        struct ("sit#", "tunnel", Layer.Tunnel)
        struct ("gre#", "tunnel", Layer.Tunnel)
        struct ("gretap", "tunnel", Layer.Tunnel)
        struct ("erspan", "tunnel", Layer.Tunnel)
        struct ("ip6", "tunnel", Layer.Tunnel)
        struct ("ip_vti", "tunnel", Layer.Tunnel)
        struct ("ovs-", "openvswitch", Layer.Never)
        struct ("ifb#", "ifb", Layer.Never)
        struct ("dummy", "dummy", Layer.Never)
        struct ("kube-ipvs", "dummy", Layer.Never)
        struct ("nodelocaldns", "dummy", Layer.Never)
        struct ("nlmon", "monitor", Layer.Never)
    |]

let private isLike (pattern: string) (name: string) : bool =
    if pattern.EndsWith '#' then
        name.Length >= pattern.Length
        && name.AsSpan().StartsWith(pattern.AsSpan(0, pattern.Length - 1))
        && Char.IsAsciiDigit name[pattern.Length - 1]
    else
        startsWith pattern name

let private make kind layer =
    {
        Kind = kind
        Master = ""
        Layer = layer
    }

/// By its name alone, for an interface that /sys does not have: what the usual tools call what they make, and a port
/// otherwise. A name with a dot is a VLAN, one with a colon an alias.
[<CompiledName "ByName">]
let byName (name: string) : Interface =
    if name = "lo" then
        make "loopback" Layer.Never
    // The kernel permits no colon in the name of an interface: `eth0:1` is a second address of eth0, which some kernels list beside it.
    elif name.Contains ':' then
        make "alias" Layer.Never
    elif name.Contains '.' || name.Contains '@' then
        make "vlan" Layer.Tunnel
    else
        // Asked at every sample where /sys tells nothing.
        let mutable result = make "physical" Layer.Physical
        let mutable i = 0

        while i < kinds.Length do
            let struct (pattern, kind, layer) = kinds[i]

            if isLike pattern name then
                result <- make kind layer
                i <- kinds.Length
            else
                i <- i + 1

        result

/// What is collected of one interface.
type private Facts(name: string) =
    member val Name = name
    member val HasDevice = false with get, set
    member val Driver = "" with get, set
    member val Bus = "" with get, set
    member val Master = "" with get, set
    member val Lowers = ResizeArray<string>()
    member val Slaves = ResizeArray<string>()
    member val IsBond = false with get, set
    member val IsBridge = false with get, set
    member val TunFlags = -1L with get, set
    member val DevType = "" with get, set
    member val Type = -1L with get, set
    member val Index = -1L with get, set
    member val Link = -1L with get, set
    member val Address = "" with get, set
    member val PortName = "" with get, set
    /// Where it stands among the devices.
    member val Place = "" with get, set
    /// What its device is called, `0000:3b:00.0`.
    member val Device = "" with get, set
    /// The same of the adapter's function that its own is a virtual one of.
    member val Physical = "" with get, set

/// The value behind a name and `=` of a uevent file; empty when it has none.
let private ueventValue (name: string) (file: SysText) : string =
    match file.Content with
    | Error _ -> ""
    | Ok bytes ->
        let lines = (Text.toString bytes.Span).Split '\n'

        match lines |> Array.tryFind (startsWith (name + "=")) with
        | Some line -> line.Substring(name.Length + 1).Trim()
        | None -> ""

let private lastPart (path: string) : string =
    path.Substring(path.LastIndexOf '/' + 1)

let private collect (facts: Facts) (rest: string) (file: SysText) : unit =
    let number () =
        match SysFile.integer file "a number" with
        | Ok value -> value
        | Error _ -> -1L

    match rest with
    | "" -> facts.Place <- SysFile.text file
    | "device" -> facts.Device <- lastPart (SysFile.text file)
    | "device/physfn" -> facts.Physical <- lastPart (SysFile.text file)
    | "device/driver" -> facts.Driver <- lastPart (SysFile.text file)
    | "device/subsystem" -> facts.Bus <- lastPart (SysFile.text file)
    | "device/uevent" when facts.Driver = "" -> facts.Driver <- ueventValue "DRIVER" file
    | "master"
    | "brport/bridge" -> facts.Master <- lastPart (SysFile.text file)
    | "bonding/slaves" -> facts.Slaves.AddRange((SysFile.text file).Split([| ' ' |], StringSplitOptions.RemoveEmptyEntries))
    | "uevent" -> facts.DevType <- ueventValue "DEVTYPE" file
    | "type" -> facts.Type <- number ()
    | "ifindex" -> facts.Index <- number ()
    | "iflink" -> facts.Link <- number ()
    | "address" -> facts.Address <- SysFile.text file
    | "phys_port_name" -> facts.PortName <- SysFile.text file
    | "tun_flags" ->
        // In hexadecimal, `0x1001`.
        let text = SysFile.text file

        match Int64.TryParse((if startsWith "0x" text then text.Substring 2 else text), Globalization.NumberStyles.HexNumber, null) with
        | true, flags -> facts.TunFlags <- flags
        | _ -> facts.TunFlags <- 1L
    | _ -> ()

    if rest = "device" || startsWith "device/" rest then
        facts.HasDevice <- true
    elif rest = "bonding" || startsWith "bonding/" rest then
        facts.IsBond <- true
    elif rest = "bridge" || startsWith "bridge/" rest then
        facts.IsBridge <- true
    elif startsWith "brif/" rest then
        facts.Slaves.Add(rest.Substring("brif/".Length))
    elif startsWith "lower_" rest then
        facts.Lowers.Add(rest.Substring("lower_".Length))

/// The device of a function of an adapter as the adapter's switch sees it, not one of this machine's: of a physical one `pf0` or, behind
/// another controller, `c1pf0`, of a virtual one or a sub-function `pf0vf1`, `c1pf0sf88`. See Documentation/networking/devlink/devlink-port.rst.
/// A port to the outside is `p0`.
let private isRepresentor (port: string) : bool =
    let at = port.IndexOf("pf", StringComparison.Ordinal)

    at >= 0
    && (port.IndexOf("vf", at, StringComparison.Ordinal) > 0
        || port.IndexOf("sf", at, StringComparison.Ordinal) > 0
        || port.EndsWith("hpf", StringComparison.Ordinal)
        || (at + 2 < port.Length
            && not (port.AsSpan(at + 2).ContainsAnyExceptInRange('0', '9'))))

// ARPHRD_ of include/uapi/linux/if_arp.h.
let private isLoopback (facts: Facts) = facts.Type = 772L || facts.Name = "lo"

/// A copy of what a radio hears, which its other interfaces count.
let private isMonitor (facts: Facts) =
    facts.Type >= 801L && facts.Type <= 803L

let private isPpp (facts: Facts) = facts.Type = 0x200L

/// IP in IP, sit, GRE, and what has no addresses of its own, as xfrm's.
let private isTunnelType (kind: int64) =
    kind = 768L
    || kind = 769L
    || kind = 776L
    || kind = 778L
    || kind = 823L
    || kind = 65534L

let private isInfiniband (facts: Facts) = facts.Type = 32L

/// Drivers of an interface that stands for another one of the same address, whose bytes it counts as its own.
let private isSynthetic (facts: Facts) =
    facts.HasDevice
    && (facts.Driver = "hv_netvsc"
        || facts.Driver = "virtio_net"
        || facts.Driver = "net_failover")

/// The kernel's words for interfaces whose bytes travel by others, which need not be visible here.
let private tunnels =
    [|
        "wireguard"
        "vxlan"
        "geneve"
        "ppp"
        "openvswitch"
        "bareudp"
        "gtp"
        "l2tpeth"
        "amt"
    |]

/// The driver whose port counts what passes it, in switch mode too (`mlx5e_get_stats`: the octets of the wire); the ports of others count what
/// passes their own queues.
let private wireCounting = "mlx5_core"

/// Makes sense of the files of all interfaces, each below `/class/net/` and its name, itself a link: the links `device`, `device/driver`,
/// `device/physfn`, `device/subsystem`, `master` and `brport/bridge`, whose text is where they lead; `lower_*`, `bonding`, `bridge` and
/// `brif/*`, which need no text; and `bonding/slaves`, `tun_flags`, `uevent`, `type`, `ifindex`, `iflink`, `address`,
/// `phys_port_name`. Which of them are there depends on what the interface is.
[<CompiledName "Parse">]
let parse (files: SysText[]) : Table =
    let all = Dictionary<string, Facts>(StringComparer.Ordinal)

    for file in files do
        let at = file.Path.IndexOf("/class/net/", StringComparison.Ordinal)

        if at >= 0 then
            let rest = file.Path.Substring(at + "/class/net/".Length)
            let slash = rest.IndexOf '/'
            let name = if slash < 0 then rest else rest.Substring(0, slash)

            let facts =
                match all.TryGetValue name with
                | true, facts -> facts
                | _ ->
                    let facts = Facts name
                    all[name] <- facts
                    facts

            collect facts (if slash < 0 then "" else rest.Substring(slash + 1)) file

    let find (name: string) : Facts | null =
        match all.TryGetValue name with
        | true, facts -> facts
        | _ -> null

    for facts in all.Values do
        for slave in facts.Slaves do
            match find slave with
            | null -> ()
            | port when port.Master = "" -> port.Master <- facts.Name
            | _ -> ()

        // A device on top of a device, which is no port of a switch, is a synthetic adapter on its fast path.
        if facts.HasDevice && facts.DevType = "" then
            for lower in facts.Lowers do
                match find lower with
                | null -> ()
                | below when below.HasDevice && below.Master = "" -> below.Master <- facts.Name
                | _ -> ()

    // On Azure the fast path comes and goes under a synthetic adapter, which counts for both.
    for facts in all.Values do
        if
            facts.HasDevice
            && facts.Master = ""
            && facts.Address <> ""
            && not (isSynthetic facts)
        then
            for other in all.Values do
                if
                    other.Name <> facts.Name
                    && isSynthetic other
                    && other.Driver <> "virtio_net"
                    && other.Address = facts.Address
                then
                    facts.Master <- other.Name

    let isTwin (facts: Facts) =
        match find facts.Master with
        | null -> false
        | master -> facts.HasDevice && master.HasDevice

    /// Stacked on what it is not the master of: a VLAN, a macvlan, the port of a switch behind a processor's own port.
    let isStacked (facts: Facts) =
        facts.Lowers
        |> Seq.exists (fun lower ->
            match find lower with
            | null -> false
            | below ->
                below.Master <> facts.Name
                && not facts.IsBond
                && not facts.IsBridge
                // A synthetic adapter has its twin below it.
                && not (isSynthetic facts))

    /// Devices whose functions pass through the adapter's switch and out by a port that is here.
    let switches =
        let isOf (isRight: Facts -> bool) (facts: Facts) =
            facts.Device <> "" && facts.Driver = wireCounting && isRight facts

        let representors =
            all.Values
            |> Seq.filter (isOf (fun facts -> isRepresentor facts.PortName))
            |> Seq.map _.Device
            |> HashSet<string>

        all.Values
        |> Seq.filter (isOf (fun facts -> not (isRepresentor facts.PortName) && representors.Contains facts.Device))
        |> Seq.map _.Device
        |> HashSet<string>

    /// A virtual function has a device of its own, a sub-function one below the port's.
    let isBehindSwitch (facts: Facts) =
        switches.Count > 0
        && facts.HasDevice
        && not (switches.Contains facts.Device)
        && (switches.Contains facts.Physical
            || switches
               |> Seq.exists (fun switch -> facts.Place.Contains("/" + switch + "/", StringComparison.Ordinal)))

    let kindOf (facts: Facts) : string =
        if isLoopback facts then
            "loopback"
        elif isMonitor facts then
            "monitor"
        elif isRepresentor facts.PortName then
            "representor"
        elif facts.IsBond then
            "bond"
        elif facts.IsBridge || facts.DevType = "bridge" then
            "bridge"
        elif facts.TunFlags >= 0L then
            (if facts.TunFlags &&& 2L <> 0L then "tap" else "tun")
        elif isTwin facts then
            "vf"
        elif facts.Bus = "xen-backend" then
            "veth"
        elif facts.HasDevice && facts.DevType <> "dsa" then
            "physical"
        elif facts.DevType <> "" then
            facts.DevType
        elif isTunnelType facts.Type then
            "tunnel"
        // A partition of an InfiniBand port has queues and counts of its own, whatever it is linked to.
        elif isInfiniband facts && facts.Lowers.Count = 0 then
            "infiniband"
        elif isPpp facts then
            "ppp"
        elif
            facts.Index >= 0L
            && facts.Link > 0L
            && facts.Index <> facts.Link
            && facts.Lowers.Count = 0
        then
            "veth"
        else
            match byName facts.Name with
            | { Kind = "physical" } -> "virtual"
            | guess -> guess.Kind

    /// A pair of which both ends are here leads nowhere else.
    let isInternal (facts: Facts) =
        all.Values
        |> Seq.exists (fun other -> other.Index = facts.Link && other.Link = facts.Index && other.Name <> facts.Name)

    let layerOf (facts: Facts) (kind: string) : Layer =
        match kind with
        | "loopback"
        | "monitor"
        | "representor"
        | "vf"
        | "ifb"
        | "dummy" -> Layer.Never
        | _ when isStacked facts || isBehindSwitch facts -> Layer.Never
        | "physical"
        | "infiniband" -> Layer.Physical
        // Before kernels that link a switch's ports to the processor's own, only its number tells.
        | "dsa" when
            all.Values
            |> Seq.exists (fun other -> other.Index = facts.Link && facts.Link > 0L && other.Name <> facts.Name)
            ->
            Layer.Never
        | "dsa" when facts.HasDevice -> Layer.Physical
        // A port of what can be seen is counted there.
        | _ when not (isNull (find facts.Master)) -> Layer.Never
        | "bridge" -> Layer.Bridge
        | "tun"
        | "tap"
        | "tunnel" -> Layer.Tunnel
        | _ when Array.contains kind tunnels -> Layer.Tunnel
        // In a container it is the way out; with such a name it is another container's.
        | "veth" when
            (byName facts.Name).Layer = Layer.Tunnel
            || facts.Bus = "xen-backend"
            || isInternal facts
            ->
            Layer.Tunnel
        | _ -> Layer.Top

    let table = Dictionary<string, Interface>(StringComparer.Ordinal)

    for facts in all.Values do
        let kind = kindOf facts

        table[facts.Name] <-
            {
                Kind = kind
                Master = facts.Master
                Layer = layerOf facts kind
            }

    table

/// What is known of an interface, or what its name says.
[<CompiledName "Of">]
let ofName (table: Table) (name: string) : Interface =
    match table.TryGetValue name with
    | true, known -> known
    | _ -> byName name
