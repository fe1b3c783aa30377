/// `/proc/PID/stat` and `/proc/PID/task/TID/stat`: how many processes and threads there are, and what they do. Off unless asked for:
/// it reads a file of every thread.
[<RequireQualifiedAccess>]
module internal Agent.Sender.Processes

open System
open Agent.Core
open Agent.Outbound
open Agent.Core.Proc

let private limits =
    [|
        Numbers.file "threads-max" (Family.gauge "node_processes_max_threads" "Limit of threads in the system")
        Numbers.file "pid_max" (Family.gauge "node_processes_max_processes" "Number of max PIDs limit")
    |]

let private processes = Family.gauge "node_processes_pids" "Number of PIDs"
let private threads = Family.gauge "node_processes_threads" "Allocated threads in system"

let private states =
    Family.labelled [| "state" |] MetricKind.Gauge "node_processes_state" "Number of processes in each state."

let private threadStates =
    Family.labelled [| "thread_state" |] MetricKind.Gauge "node_processes_threads_state" "Number of threads in each state."

/// The states are letters of ASCII.
let private tellStates (figures: Figures) family (counts: float[]) =
    for state in 0 .. counts.Length - 1 do
        if counts[state] > 0.0 then
            figures.Add(family, [| (char state).ToString() |], counts[state])

let private tell _ (texts: FileText[]) (figures: Figures) =
    Numbers.ofFiles limits (fun _ -> [||]) (texts |> Array.filter (fun text -> text.Names.Length = 0)) figures
    let ofProcesses = Array.zeroCreate<float> 128
    let ofThreads = Array.zeroCreate<float> 128
    let mutable threadCount = 0.0

    for text in texts do
        // `self` and `thread-self` are processes that are there already.
        if
            text.Names.Length > 0
            && text.Names[0] <> ""
            && Char.IsAsciiDigit(text.Names[0][0])
        then
            match ProcessStat.parse text.Text.Span with
            | Ok stat when text.Names.Length = 1 ->
                ofProcesses[int stat.State] <- ofProcesses[int stat.State] + 1.0
                threadCount <- threadCount + float stat.Threads
            | Ok stat -> ofThreads[int stat.State] <- ofThreads[int stat.State] + 1.0
            // One that ended meanwhile.
            | Error _ -> ()

    let count = Array.sum ofProcesses

    if count > 0.0 then
        figures.Add(processes, count)
        figures.Add(threads, threadCount)

    tellStates figures states ofProcesses
    tellStates figures threadStates ofThreads

/// The collectors.
let all: Collector[] =
    [|
        Collector(
            "processes",
            false,
            [|
                FileSet.Proc("sys/kernel", [| "threads-max"; "pid_max" |])
                FileSet.Proc("*", [| "stat" |])
                FileSet.Proc("*/task/*", [| "stat" |])
            |],
            tell
        )
    |]
