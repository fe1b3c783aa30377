/// `--why`, run by the real agent beside a real process that holds a scripted GPU.
module Agent.EndToEnd.Tests.WhyTests

open System
open System.Diagnostics
open System.IO
open System.Text.Json
open System.Text.RegularExpressions
open System.Threading
open Agent.TestSupport
open Agent.TestSupport.Waiting
open Agent.TestSupport.ProgramProcess
open Agent.TestSupport.AgentProcess
open Agent.TestSupport.Gpu.NvmlStub
open Expecto

/// Every duration of the agent is divided by this: a watch of 30 s takes fifteen.
let private scale = "AI_DASHBOARD_TEST_TIME_SCALE", "2"

/// A GPU at work for this process, with its reasons to slow down as the driver encodes them.
let private gpu (throttle: string) (pid: int) : string =
    String.concat
        "\n"
        [
            "gpu 00000000:19:00.0"
            "name NVIDIA H100 80GB HBM3"
            "uuid GPU-04444444-0000-4000-8000-000000000000"
            "utilization_gpu 98"
            "utilization_memory 60"
            "memory_total 85520809984"
            "memory_used 16452157440"
            "temperature 60"
            "power_mw 660000"
            "enforced_limit_mw 700000"
            $"throttle {throttle}"
            "clock_sm 1980"
            $"process {pid} 16452157440 python"
            ""
        ]

/// Nothing slows it.
[<Literal>]
let private Free = "0x0"

/// nvmlClocksThrottleReasonHwThermalSlowdown of nvml.h.
[<Literal>]
let private TooHot = "0x40"

/// Runs a test beside a shell that burns a CPU, named as the user of the only GPU.
let private withTrainer (throttle: string) (test: Machine -> unit) : unit =
    use trainer =
        Process.Start(ProcessStartInfo("sh", [ "-c"; "while :; do :; done" ]))
        |> nonNull

    try
        withMachine (gpu throttle trainer.Id) test
    finally
        trainer.Kill()
        trainer.WaitForExit()

let private words (machine: Machine) : string list =
    [
        "--why"
        "--seconds=30"
        "--gpu-source=nvml"
        "--nvml-library"
        machine.Library
    ]

/// Exit code, standard output and standard error.
let private watch (machine: Machine) (more: string list) =
    runWith [ scale ] (words machine @ more)

let private hasEscapes (lines: string list) = lines |> List.exists _.Contains('\027')

/// What the agent writes to a terminal of so many columns, by script(1); its standard error goes nowhere.
let private onTerminal (columns: int) (variables: (string * string) list) (machine: Machine) : string list =
    let shown = ref []

    World.withDirectory (fun directory ->
        let command = Path.Combine(directory, "command")

        let quoted =
            binary.Value :: words machine
            |> List.map (fun word -> $"'{word}'")
            |> String.concat " "

        File.WriteAllText(command, $"stty cols {columns}\nexec {quoted} 2>/dev/null\n")

        let environment =
            [ "PATH", "/usr/bin:/bin"; "TERM", "xterm"; "SHELL", "/bin/sh"; scale ]
            @ variables

        use terminal =
            new ProgramProcess("/usr/bin/script", [ "-qec"; $"sh {command}"; "/dev/null" ], environment)

        // Half a minute of the watch is a few seconds here; the rest is what other tests leave of the CPUs. What it finds of the job, and so its
        // exit code, is up to them too; here it matters how that looks.
        terminal.WaitForEnd(2.0 * patience) |> ignore

        shown.Value <-
            terminal.Output
            |> List.map (fun line -> line.TrimEnd '\r')
            |> List.filter ((<>) ""))

    shown.Value

/// Waits until the agent handles signals by itself: SIGHUP is the last of those that end it in good order. The runtime takes Ctrl-C earlier, and ends
/// the program at once.
let private untilSignalsAreTaken (agent: AgentProcess) : unit =
    eventually patience $"a handler of signals; {agent.Said}" (fun () ->
        File.ReadAllLines $"/proc/{agent.Id}/status"
        |> Array.exists (fun line ->
            line.StartsWith "SigCgt:"
            && (Convert.ToUInt64(line.Substring(7).Trim(), 16) >>> (SigHup - 1)) &&& 1UL = 1UL))

let tests =
    testList
        "Why"
        [
            testCase "a GPU that computes: exit code 0, who uses it, and plain text for a pipe"
            <| fun () ->
                withTrainer Free (fun machine ->
                    let code, output, errors = watch machine []
                    Expect.equal (code, errors) (0, []) $"exit code; %A{output}"
                    Expect.stringStarts output.Head "sh of " "who"
                    Expect.stringContains output.Head ": GPU 0, " "what"
                    Expect.stringStarts output[1] "  compute, " "why"
                    Expect.isFalse (hasEscapes output) "no escape codes")

            testCase "a GPU that is slowed by heat: exit code 3, in JSON that jq reads"
            <| fun () ->
                withTrainer TooHot (fun machine ->
                    let code, output, errors = watch machine [ "--json" ]
                    Expect.equal (code, errors) (3, []) $"exit code; %A{output}"
                    use document = JsonDocument.Parse(String.concat "\n" output)

                    let text (element: JsonElement) (name: string) =
                        string (element.GetProperty(name).GetString())

                    let job = document.RootElement.GetProperty("jobs")[0]
                    Expect.equal (text (job.GetProperty "verdict") "label") "throttled" "the job's"
                    Expect.equal (text (document.RootElement.GetProperty "verdict") "label") "throttled" "the machine's"
                    Expect.equal (document.RootElement.GetProperty("jobs").GetArrayLength()) 1 "jobs"

                    if not (File.Exists "/usr/bin/jq") then
                        Skip.because "no jq"

                    World.withDirectory (fun directory ->
                        let file = Path.Combine(directory, "why.json")
                        File.WriteAllLines(file, output)

                        use jq =
                            new ProgramProcess("/usr/bin/jq", [ "-s"; "-r"; "length, .[0].jobs[0].verdict.label"; file ], [])

                        Expect.equal (jq.WaitForEnd patience, jq.Output) (0, [ "1"; "throttled" ]) $"one object; {jq.Said}"))

            testCase "on a terminal the label has a colour and lines keep its width; NO_COLOR takes the colour away"
            <| fun () ->
                if not (File.Exists "/usr/bin/script") then
                    Skip.because "no script(1) to make a terminal with"

                withTrainer Free (fun machine ->
                    // On a busy machine it may see too little of the job to say anything.
                    let rec shown attempts =
                        match onTerminal 60 [] machine with
                        | [] when attempts > 1 -> shown (attempts - 1)
                        | lines -> lines

                    let coloured = shown 3

                    // Which label it is, and so its colour, is up to what else the machine does meanwhile.
                    Expect.exists coloured (fun line -> Regex.IsMatch(line, "^  \027\\[3[0-9]m[a-z-]+\027\\[0m")) $"coloured: %A{coloured}"

                    let plain = coloured |> List.map (fun line -> Regex.Replace(line, "\027\\[(3[0-9]|0)m", ""))

                    Expect.isFalse (hasEscapes plain) "no other escape codes"
                    Expect.all plain (fun line -> line.Length <= 60) $"width: %A{plain}"
                    Expect.isGreaterThan (plain |> List.map _.Length |> List.max) 40 "and they use it"
                    let uncoloured = onTerminal 60 [ "NO_COLOR", "1" ] machine
                    Expect.isFalse (hasEscapes uncoloured) $"no escape codes: %A{uncoloured}")

            testCase "Ctrl-C at once: too little was seen, exit code 1, and no waiting"
            <| fun () ->
                withTrainer Free (fun machine ->
                    use agent = startWith [] (words machine)
                    untilSignalsAreTaken agent
                    let clock = Stopwatch.StartNew()
                    agent.Signal SigInt
                    Expect.equal (agent.WaitForEnd patience) 1 $"exit code; {agent.Said}"
                    Expect.isLessThan clock.Elapsed (TimeSpan.FromSeconds 10.0) "long before the time is over"
                    Expect.equal agent.Output [] "nothing to say"

                    Expect.equal
                        agent.Errors
                        [
                            "ai-dashboard-agent: not enough was seen for a verdict; watch longer with --seconds"
                        ]
                        "why")

            testCase "Ctrl-C later: what was seen so far is told"
            <| fun () ->
                withTrainer TooHot (fun machine ->
                    use agent =
                        startWith
                            [ scale ]
                            (words machine
                             |> List.map (fun word -> word.Replace("--seconds=30", "--seconds=600")))

                    untilSignalsAreTaken agent
                    // Ten seconds of evidence, at twice the speed, make a verdict.
                    Thread.Sleep 12000
                    agent.Signal SigInt
                    Expect.equal (agent.WaitForEnd patience) 3 $"exit code; {agent.Said}"
                    Expect.stringStarts agent.Output[1] "  throttled, " "the verdict so far"
                    Expect.equal agent.Errors [] "nothing wrong")

            testCase "--seconds that is no number from 20 to 600 is a usage error"
            <| fun () ->
                for value in [ "0"; "-1"; "601"; "ten"; ""; "nan" ] do
                    let code, output, errors = runWith [] [ "--why"; $"--seconds={value}" ]
                    Expect.equal (code, output) (2, []) $"exit code 2 and nothing on standard output for {value}; %A{errors}"
                    Expect.isNonEmpty errors "a sentence"
                    Expect.all errors _.StartsWith("ai-dashboard-agent: ") $"by name: %A{errors}"
                    Expect.exists errors _.Contains("--seconds") $"which option: %A{errors}"

            testCase "a root that is not there is a usage error, and names it"
            <| fun () ->
                let code, _, errors = runWith [] [ "--why"; "--procfs=/no/such" ]
                Expect.equal code 2 "exit code"
                Expect.exists errors _.Contains("--procfs") $"which: %A{errors}"
        ]
