namespace Agent.Receiver

open System
open System.Net

/// Whoever sent a request, as far as it can be believed.
[<Struct; NoComparison>]
type Client =
    {
        /// The address of the client; where a proxy that is not trusted sent the request, that proxy's.
        Address: IPAddress
        /// Whether the client spoke TLS to the outermost trusted proxy.
        IsHttps: bool
    }

/// What reverse proxies say of the clients behind them (X-Forwarded-For and X-Forwarded-Proto), and when it is believed.
[<RequireQualifiedAccess>]
module Forwarding =
    /// So many addresses of a header are looked at, from the right; what is left of them does not count.
    [<Literal>]
    let MostHops = 16

    /// An IPv4 address that came in on an IPv6 socket as the IPv4 address that it is, and an IPv6 address without its zone.
    [<CompiledName "Plain">]
    let plain (address: IPAddress) : IPAddress =
        if address.IsIPv4MappedToIPv6 then
            address.MapToIPv4()
        elif
            address.AddressFamily = Sockets.AddressFamily.InterNetworkV6
            && address.ScopeId <> 0L
        then
            IPAddress(address.GetAddressBytes())
        else
            address

    /// An address in the usual notation: four decimal numbers, or IPv6. The class library alone would also read "1" and "0x7f.1".
    let private addressOf (text: string) : IPAddress voption =
        let isUsual =
            text.Contains ':'
            || (text.Split '.')
               |> fun parts ->
                   parts.Length = 4
                   && parts
                      |> Array.forall (fun part ->
                          part <> ""
                          && Seq.forall Char.IsAsciiDigit part
                          && (part = "0" || part[0] <> '0'))

        match IPAddress.TryParse text with
        | true, NonNull address when isUsual -> ValueSome(plain address)
        | _ -> ValueNone

    /// An address as proxies write it: some put a port behind it, with brackets around IPv6.
    let private reported (text: string) : IPAddress voption =
        let text = text.Trim().Trim('"')
        let colon = text.IndexOf ':'

        if text.StartsWith '[' then
            match text.IndexOf ']' with
            | -1 -> ValueNone
            | close -> addressOf (text.Substring(1, close - 1))
        elif colon >= 0 && colon = text.LastIndexOf ':' then
            addressOf (text.Substring(0, colon))
        else
            addressOf text

    /// A network such as 10.0.0.0/8 or 2001:db8::/32, or an address, which stands for itself alone. None for anything else, and
    /// for a network with bits behind its prefix: it might mean either of two things.
    [<CompiledName "NetworkOf">]
    let networkOf (text: string) : IPNetwork voption =
        match text.Trim().Split '/' with
        | [| address |] ->
            addressOf address
            |> ValueOption.map (fun address -> IPNetwork(address, address.GetAddressBytes().Length * 8))
        | [| address; length |] when length.Length <= 3 && length <> "" && Seq.forall Char.IsAsciiDigit length ->
            match addressOf address with
            | ValueSome address when int length <= address.GetAddressBytes().Length * 8 ->
                let bytes = address.GetAddressBytes()

                let isClear bit =
                    bytes[bit / 8] &&& (128uy >>> (bit % 8)) = 0uy

                if Seq.forall isClear (seq { int length .. bytes.Length * 8 - 1 }) then
                    ValueSome(IPNetwork(address, int length))
                else
                    ValueNone
            | _ -> ValueNone
        | _ -> ValueNone

    /// Whether an address belongs to one of the networks.
    [<CompiledName "IsTrusted">]
    let isTrusted (trusted: IPNetwork[]) (address: IPAddress) : bool =
        let address = plain address
        trusted |> Array.exists _.Contains(address)

    /// Whoever sent a request. Each trusted proxy appends the address that it saw, so the list is read from the right, for as long
    /// as the addresses are those of trusted proxies: the first other one is the client. What stands left of it the client may have
    /// made up. An entry that is no address ends the walk, at the last address that was one.
    [<CompiledName "Client">]
    let client (trusted: IPNetwork[]) (peer: IPAddress) (isTls: bool) (forwardedFor: string) (forwardedProto: string) : Client =
        let peer = plain peer

        let entries (header: string) =
            header.Split(',', StringSplitOptions.TrimEntries ||| StringSplitOptions.RemoveEmptyEntries)

        if not (isTrusted trusted peer) then
            { Address = peer; IsHttps = isTls }
        else
            let hops = Array.rev (entries forwardedFor) |> Array.truncate MostHops

            let rec walk (address: IPAddress) (steps: int) =
                if steps < hops.Length && isTrusted trusted address then
                    match reported hops[steps] with
                    | ValueSome next -> walk next (steps + 1)
                    | ValueNone -> struct (address, steps)
                else
                    struct (address, steps)

            let struct (address, steps) = walk peer 0
            let schemes = entries forwardedProto

            // Each proxy appended one, or the outermost one alone said it.
            let scheme =
                if schemes.Length = 0 then
                    ""
                else
                    schemes[max 0 (schemes.Length - max 1 steps)]

            {
                Address = address
                IsHttps =
                    scheme.Equals("https", StringComparison.OrdinalIgnoreCase)
                    || (scheme = "" && isTls)
            }

    /// Whether a header says that a proxy passed the request on.
    [<CompiledName "IsForwardingHeader">]
    let isForwardingHeader (name: string) : bool =
        name.Equals("Forwarded", StringComparison.OrdinalIgnoreCase)
        || name.Equals("X-Real-IP", StringComparison.OrdinalIgnoreCase)
        || name.StartsWith("X-Forwarded-", StringComparison.OrdinalIgnoreCase)

    /// Whom limits for each address count for: an IPv4 address, or the first 64 bits of an IPv6 address, which is what one site has to itself.
    [<CompiledName "Owner">]
    let owner (address: IPAddress) : IPAddress =
        let address = plain address

        match address.AddressFamily with
        | Sockets.AddressFamily.InterNetworkV6 ->
            let bytes = address.GetAddressBytes()
            Array.Clear(bytes, 8, 8)
            IPAddress bytes
        | _ -> address

    /// The owner as text.
    [<CompiledName "Key">]
    let key (address: IPAddress) : string = (owner address).ToString()
