/// `/sys/class/infiniband/*/ports/*/counters/`: data moved by the RDMA fabric, which /proc/net/dev does not see.
/// See Documentation/ABI/stable/sysfs-class-infiniband: `port_rcv_data` and `port_xmit_data` count words of four octets.
[<RequireQualifiedAccess>]
module Agent.Core.Sys.Infiniband

open System
open System.Collections.Generic
open Agent.Core
open Agent.Core.Units

/// One port of one adapter.
[<NoComparison>]
type Port =
    {
        /// The adapter, `mlx5_0`.
        Device: string
        /// The port's number.
        Port: int
        /// Received since the counters were reset; none when that counter cannot be read, or stands at its end.
        Received: uint64<B> voption
        /// Sent since the counters were reset; none when that counter cannot be read, or stands at its end.
        Sent: uint64<B> voption
    }

/// Where the counters of an adapter that has 32 bits for them stop and stay, until somebody resets them (InfiniBand Architecture
/// Specification, volume 1, 16.1.3.5); one of 64 bits passes it in no time.
[<Literal>]
let private Stuck = 4294967295UL

let private counter (file: SysText) : uint64<B> voption =
    match file.Content with
    | Error _ -> ValueNone
    | Ok bytes ->
        let mutable cursor = Cursor(file.Path, bytes.Span)
        let mutable words = 0UL

        if cursor.NextLine() && cursor.UInt64 &words && words <> Stuck then
            ValueSome(bytesOfInfinibandWords words)
        else
            ValueNone

/// Makes sense of the files `…/<device>/ports/<port>/counters/port_rcv_data` and `port_xmit_data`; other paths are
/// ignored. In the order in which ports first appear.
[<CompiledName "Parse">]
let parse (files: SysText[]) : Port[] =
    let ports = Dictionary<struct (string * int), Port>()
    let order = ResizeArray<struct (string * int)>()

    for file in files do
        match file.Path.Split '/' with
        | parts when
            parts.Length >= 5
            && parts[parts.Length - 2] = "counters"
            && parts[parts.Length - 4] = "ports"
            ->
            match Int32.TryParse parts[parts.Length - 3] with
            | true, number ->
                let key = struct (parts[parts.Length - 5], number)

                let port =
                    match ports.TryGetValue key with
                    | true, port -> port
                    | _ ->
                        order.Add key

                        {
                            Device = parts[parts.Length - 5]
                            Port = number
                            Received = ValueNone
                            Sent = ValueNone
                        }

                ports[key] <-
                    match parts[parts.Length - 1] with
                    | "port_rcv_data" -> { port with Received = counter file }
                    | "port_xmit_data" -> { port with Sent = counter file }
                    | _ -> port
            | _ -> ()
        | _ -> ()

    order.ToArray() |> Array.map (fun key -> ports[key])
