namespace Agent.Sender

open System
open Agent.Core
open Agent.Outbound

/// What is known of a machine as a record for the spool.
[<RequireQualifiedAccess>]
module RemoteWriteRecord =
    /// The bits of the value that says that a series ends here (prometheus/prometheus, model/value/value.go).
    let private stale = BitConverter.Int64BitsToDouble 0x7ff0000000000002L

    /// Everything that is known at one instant as a record for the spool, and its series. Series of the record before that are
    /// gone end with it, as the specification requires.
    [<CompiledName "OfReading">]
    let ofReading
        (version: RemoteWriteVersion)
        (machine: (struct (string * string))[])
        (previous: SeriesSet)
        (reading: MachineReading)
        (state: AgentState)
        : struct (byte[] * SeriesSet) =
        let sink = SeriesSink(machine, previous)
        Exposition.tell sink (ValueSome reading) state
        let gone = previous.Series |> Array.filter (sink.Has >> not)

        let coder = previous.CoderFor version

        let message =
            WriteRequest.ofInstant coder (reading.Sample.CollectedAt.ToUnixTimeMilliseconds()) sink.Series sink.Values gone stale

        struct (Spool.frame (ReadOnlySpan message), SeriesSet(coder, machine, sink.Series.ToArray()))
