namespace Agent.Sender

open System
open System.Net
open Agent.Core

/// Connects to a host that has several addresses, of which some may be dead: RFC 8305, "Happy Eyeballs Version 2".
[<RequireQualifiedAccess>]
module HappyEyeballs =
    /// From the start of one attempt to the start of the next, unless the last one fails before ("Connection Attempt Delay").
    let AttemptDelay = TimeSpan.FromMilliseconds 250.0

    /// The same once that attempt is connected and its TLS handshake goes on: those take several round trips.
    let HandshakeDelay = TimeSpan.FromSeconds 1.0

    /// Once one family's addresses are known, the other's are waited for this long ("Resolution Delay").
    let ResolutionDelay = TimeSpan.FromMilliseconds 50.0

    /// Addresses that are tried for one connection.
    [<Literal>]
    let MostAddresses = 16

    /// Takes from both in turn, and then what is left of the longer one.
    let private interleave (first: IPAddress list) (second: IPAddress list) : IPAddress list =
        let common = min first.Length second.Length

        [
            for one, other in List.zip (List.truncate common first) (List.truncate common second) do
                one
                other

            yield! List.skip common first
            yield! List.skip common second
        ]

    /// The order in which addresses are tried: the one that connected last time, then the two families in turn, beginning with
    /// that of the first address. Those that failed come behind all others, the one that failed most recently (the last of
    /// `failed`) at the end, so that no set of bad addresses hides a good one for long.
    [<CompiledName "Order">]
    let order (winner: IPAddress | null) (failed: IPAddress[]) (addresses: IPAddress[]) : IPAddress[] =
        let good, bad =
            addresses
            |> Array.distinct
            |> List.ofArray
            |> List.partition (fun address -> address.Equals winner || not (Array.contains address failed))

        let byTrust = good |> List.sortBy (fun address -> if address.Equals winner then 0 else 1)

        let inTurn =
            match byTrust with
            | [] -> []
            | first :: _ ->
                byTrust
                |> List.partition (fun address -> address.AddressFamily = first.AddressFamily)
                ||> interleave

        let byAge = bad |> List.sortBy (fun address -> Array.LastIndexOf(failed, address))

        inTurn @ byAge |> List.truncate MostAddresses |> Array.ofList
