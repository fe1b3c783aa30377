/// The receiver under load: started with a database of its own, on a free port of the loopback, and looked at from outside.
module Ingest.Load.Dashboard

open System
open System.Collections.Generic
open System.Diagnostics
open System.Globalization
open System.IO
open System.Net
open System.Net.Sockets
open System.Runtime.InteropServices
open System.Threading
open Ingest.Load.Connection

[<DllImport("libc", EntryPoint = "kill", SetLastError = true)>]
extern int private sendSignal(int pid, int signal)

let private freePort () =
    use probe = new TcpListener(IPAddress.Loopback, 0)
    probe.Start()
    (IPEndPoint.Parse $"%O{probe.LocalEndpoint}").Port

let private accepts (address: IPEndPoint) =
    try
        use socket = new Socket(SocketType.Stream, ProtocolType.Tcp)
        socket.Connect address
        true
    with :? SocketException ->
        false

let private start (program: string) (ahead: TimeSpan) (words: string list) : Process =
    let info = ProcessStartInfo(program, words, RedirectStandardOutput = true)

    if ahead <> TimeSpan.Zero then
        info.Environment["DASHBOARD_TEST_CLOCK_OFFSET"] <- ahead.TotalSeconds.ToString(CultureInfo.InvariantCulture)

    let started = new Process(StartInfo = info)
    started.Start() |> ignore
    started

/// Runs a command of the program to its end and returns its standard output.
let private run (program: string) (words: string list) : string =
    use command = start program TimeSpan.Zero words

    let output = command.StandardOutput.ReadToEnd()
    command.WaitForExit()

    if command.ExitCode <> 0 then
        failwith $"%s{program} %A{words}: exit code %d{command.ExitCode}"

    output

/// Registers a server in this database.
let register (program: string) (database: string) (slug: string) : Server =
    let mark = "INGEST_TOKEN="
    let output = run program [ "register-server"; slug; "--database"; database ]

    let line = output.Split '\n' |> Array.find _.StartsWith(mark, StringComparison.Ordinal)

    {
        Slug = slug
        Token = line.Substring(mark.Length).Trim()
    }

/// The options that let a server send the samples of days at once. Without them it may not: docs/operations-limits.md.
let anyRate = [ "--server-samples"; "1000"; "--server-kilobytes"; "100000" ]

/// A receiver that serves, with these options, until it is disposed of. Its clock is that much ahead, or behind where that is negative.
type Dashboard(program: string, database: string, ahead: TimeSpan, options: string list) =
    let address = IPEndPoint(IPAddress.Loopback, freePort ())

    let serving =
        start program ahead ([ "serve"; "--listen"; $"http://%O{address}"; "--database"; database ] @ options)

    do
        // Its lines are not for the page that goes to standard output.
        serving.BeginOutputReadLine()
        let watch = Stopwatch.StartNew()

        while not (accepts address) do
            if serving.HasExited || watch.Elapsed.TotalSeconds > 30.0 then
                failwith $"%s{program} does not serve"

            Thread.Sleep 20

    let status (name: string) =
        File.ReadLines $"/proc/%d{serving.Id}/status"
        |> Seq.find _.StartsWith(name, StringComparison.Ordinal)
        |> fun line -> line.Split([| ' '; '\t' |], StringSplitOptions.RemoveEmptyEntries)[1] |> int64

    /// Where it listens.
    member _.Address = address

    /// The most memory that was resident so far, in bytes.
    member _.PeakMemory: int64 = status "VmHWM:" * 1024L

    /// The memory that is resident, in bytes.
    member _.Memory: int64 = status "VmRSS:" * 1024L

    /// The CPU time it has used.
    member _.CpuTime: TimeSpan =
        serving.Refresh()
        serving.TotalProcessorTime

    /// Ends it in good order.
    member _.Stop() : unit =
        sendSignal (serving.Id, 15) |> ignore

        if not (serving.WaitForExit 30_000) then
            failwith "the dashboard did not stop within 30 s"

    interface IDisposable with
        member _.Dispose() =
            if not serving.HasExited then
                serving.Kill()

            serving.Dispose()

/// The bytes of a database's files: itself, its write-ahead log and that log's index.
let sizeOf (database: string) : int64 =
    [ ""; "-wal"; "-shm" ]
    |> List.map (fun ending -> FileInfo(database + ending))
    |> List.sumBy (fun file -> if file.Exists then file.Length else 0L)
