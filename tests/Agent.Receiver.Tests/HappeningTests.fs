/// What is seen to happen from one sample to the next, and what people write down.
module Agent.Receiver.Tests.HappeningTests

open System
open System.Text
open Agent.Receiver
open Expecto

let private start = DateTimeOffset(2026, 11, 29, 12, 0, 0, TimeSpan.Zero)

let private agent (boot: string) pid version =
    Happenings.factsOf $"{{\"pid\":{pid},\"version\":\"{version}\",\"system_info\":{{\"boot_time\":\"{boot}\"}}}}"

let private gpu index reasons : GpuReport =
    let figures = Schema.empty Schema.gpu
    figures.Integers[Array.IndexOf(Schema.gpu.Integers, "throttle_reasons")] <- reasons

    {
        Index = index
        Name = "NVIDIA H100"
        Uuid = $"GPU-{index}"
        Figures = figures
    }

/// The same with the code of its newest XID and how many there were; -1 for what is not known.
let private withXids (code: int64) (count: int64) (gpu: GpuReport) : GpuReport =
    gpu.Figures.Integers[Array.IndexOf(Schema.gpu.Integers, "xid_last")] <- code
    gpu.Figures.Integers[Array.IndexOf(Schema.gpu.Integers, "xid_count")] <- count
    gpu

let private report (seconds: float) gpus : Report =
    {
        CollectedAt = start.AddSeconds seconds
        Machine = Schema.empty Schema.machine
        Disks = [||]
        Gpus = Array.ofList gpus
        Fans = [||]
        Details = Details.none
    }

/// What happens along these samples, each with what its agent says: kind, text, and when in seconds.
let private along (samples: (Report * AgentFacts voption) list) =
    ((Happenings.nothing, []), samples)
    ||> List.fold (fun (watched, all) (report, facts) ->
        let struct (watched, events) = Happenings.step watched report facts
        watched, all @ List.ofArray events)
    |> snd
    |> List.map (fun event -> event.Kind.Name, event.Text, float (event.At - RowKey.microseconds start) / 1e6)

let private quiet gpus =
    fun seconds -> report seconds gpus, ValueNone

/// 0x40 is a hardware thermal slowdown, 0x4 the software power cap, 0x1 idle (nvml.h).
let private hot = 0x40L

[<Tests>]
let tests =
    testList
        "Happenings"
        [
            testCase "the first sample tells of nothing, and neither do samples that are alike"
            <| fun () ->
                Expect.equal
                    (along [ for second in 0.0..2.0..60.0 -> quiet [ gpu 0 0L; gpu 1 hot ] second ]
                     |> List.length)
                    1
                    "but that a GPU is slowed"

            testCase "a GPU that is missing for ten seconds is lost, since it was seen last, and told once; then it is back"
            <| fun () ->
                Expect.equal
                    (along
                        [
                            quiet [ gpu 0 0L; gpu 1 0L ] 0.0
                            quiet [ gpu 0 0L ] 2.0
                            quiet [ gpu 0 0L ] 9.9
                            quiet [ gpu 0 0L ] 10.0
                            quiet [ gpu 0 0L ] 20.0
                            quiet [ gpu 0 0L; gpu 1 0L ] 30.0
                        ])
                    [
                        "gpu-lost", "GPU 1 (NVIDIA H100) is not reported any more", 0.0
                        "gpu-back", "GPU 1 (NVIDIA H100) is back", 30.0
                    ]
                    "lost and back"

                Expect.equal (along [ quiet [ gpu 0 0L ] 0.0; quiet [] 5.0; quiet [ gpu 0 0L ] 9.0 ]) [] "one look that failed"

            testCase "slowing begins at once and is over after thirty seconds without; a power cap is none"
            <| fun () ->
                let said =
                    along
                        [
                            quiet [ gpu 0 0x4L ] 0.0
                            quiet [ gpu 0 (hot ||| 0x4L) ] 10.0
                            quiet [ gpu 0 0L ] 20.0
                            quiet [ gpu 0 hot ] 30.0
                            quiet [ gpu 0 0L ] 59.0
                            quiet [ gpu 0 0L ] 60.0
                        ]

                Expect.equal
                    said
                    [
                        "throttle", "GPU 0 (NVIDIA H100) is slowed down: hw_thermal_slowdown", 10.0
                        "throttle-end", "GPU 0 (NVIDIA H100) is no longer slowed down", 30.0
                    ]
                    "once"

            testCase "an XID is told once, with its meaning where it has one, and so is the first after the agent started anew"
            <| fun () ->
                Expect.equal
                    (along
                        [
                            quiet [ gpu 0 0L |> withXids -1L -1L ] 0.0
                            quiet [ gpu 0 0L |> withXids -1L 0L ] 2.0
                            quiet [ gpu 0 0L |> withXids 79L 1L ] 4.0
                            quiet [ gpu 0 0L |> withXids 79L 1L ] 6.0
                            quiet [ gpu 0 0L |> withXids 4095L 3L ] 8.0
                            quiet [ gpu 0 0L |> withXids 79L 1L ] 10.0
                            quiet [ gpu 0 0L |> withXids -1L 0L ] 12.0
                        ])
                    [
                        "xid", "XID 79 of GPU 0 (NVIDIA H100): the GPU has fallen off the bus", 4.0
                        "xid", "XID 4095 of GPU 0 (NVIDIA H100)", 8.0
                        "xid", "XID 79 of GPU 0 (NVIDIA H100): the GPU has fallen off the bus", 10.0
                    ]
                    "three"

            testCase "a start of the machine, of the agent, and of another version"
            <| fun () ->
                let at seconds facts = report seconds [], facts
                let first = agent "2026-11-28T00:00:00+00:00" 100 "0.1.0"

                Expect.equal
                    (along
                        [
                            at 0.0 first
                            at 2.0 ValueNone
                            at 4.0 (agent "2026-11-28T00:01:30+00:00" 100 "0.1.0")
                        ])
                    []
                    "a clock that was set by a minute and a half is no start"

                Expect.equal
                    (along [ at 0.0 first; at 60.0 (agent "2026-11-29T11:59:00+00:00" 7 "0.1.0") ])
                    [
                        "reboot", "the machine started", -60.0
                        "agent-start", "the agent started", 60.0
                    ]
                    "a boot"

                Expect.equal
                    (along [ at 0.0 first; at 60.0 (agent "2026-11-28T00:00:00+00:00" 101 "0.9.1") ])
                    [ "agent-start", "the agent started as version 0.9.1, which was 0.1.0", 60.0 ]
                    "an upgrade"

            testCase "what an agent says is read whatever it is"
            <| fun () ->
                Expect.isTrue (Happenings.factsOf "").IsNone "nothing"
                Expect.isTrue (Happenings.factsOf "[]").IsNone "no object"
                Expect.equal (Happenings.factsOf "{}").Value.Pid -1L "no process"

            testCase "notes: what is taken, and what is wrong with others"
            <| fun () ->
                let read (text: string) =
                    match Note.read (ReadOnlyMemory(Encoding.UTF8.GetBytes text)) start with
                    | Ok note -> Ok(note.Text, note.Slug, note.At)
                    | Error refusal -> Error refusal.Detail

                Expect.equal (read """{"text":" epoch 3 ","server":"gpu-1"}""") (Ok("epoch 3", "gpu-1", ValueNone)) "a note"

                Expect.equal
                    (read """{"text":"x","at":"2026-11-29T11:00:00Z"}""")
                    (Ok("x", "", ValueSome(start.AddHours -1.0)))
                    "of the past"

                let long length =
                    read $"{{\"text\":\"{String('x', length)}\"}}"

                Expect.isOk (long 200) "as long as may be"
                Expect.equal (long 201) (Error "text: 201 characters; at most 200") "longer"
                Expect.equal (read """{"text":"  "}""") (Error "text is empty") "empty"
                Expect.equal (read """{"text":"a\nb"}""") (Error "text: one line without control characters") "two lines"
                Expect.isError (read """{"text":"x","at":"2026-11-29T12:05:01Z"}""") "of the future"
                Expect.isOk (read """{"text":"x","at":"2026-11-29T12:05:00Z"}""") "as far ahead as a sample may be"
                Expect.equal (read "{}") (Error "$: expected a member named text") "no text"

            testCase "kinds that a question names"
            <| fun () ->
                Expect.equal (TimelineResponses.kinds "xid, reboot" |> Result.map (Array.map _.Name)) (Ok [| "xid"; "reboot" |]) "two"
                Expect.equal (TimelineResponses.kinds "" |> Result.map _.Length) (Ok EventKind.All.Length) "all"
                Expect.isError (TimelineResponses.kinds "xid,flood") "unknown"
        ]
