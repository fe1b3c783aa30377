/// A sample and who sends it as the JSON of the ingest API. Its keys are the rows of Rows.fs; docs/ingest-api.md lists them, and
/// docs/sample.schema.json is its JSON schema.
[<RequireQualifiedAccess>]
module Agent.Core.Wire

open System
open System.Buffers
open System.Text

/// `2026-02-26T02:37:49.120000+00:00`
[<CompiledName "Instant">]
let instant (value: DateTimeOffset) : string =
    let text = Array.zeroCreate<byte> JsonForm.InstantLength
    JsonForm.writeInstant (value, Span text)
    Encoding.ASCII.GetString text

/// The keys of a request body and, within them, of everything that it holds.
[<CompiledName "Body">]
let body: KeyTable = Rows.body.Keys

/// Bytes of a request body of a machine without GPUs, about.
[<Literal>]
let private InitialCapacity = 4096

/// The `agent` member as UTF-8, for `WriteWithAgent`: it changes once a minute, and samples come every second.
[<CompiledName "AgentText">]
let agentText (agent: AgentInfo) : ReadOnlyMemory<byte> =
    let json = JsonText InitialCapacity
    Rows.agent.Write(json, agent)
    json.Written

/// The jobs of a machine and the machine's verdict on one line, by the keys that a sample has for them.
[<CompiledName "ReportText">]
let reportText (report: JobReport) : string =
    let json = JsonText InitialCapacity
    JobRows.report.Write(json, report)
    Encoding.UTF8.GetString json.Written.Span

/// Writes one request body as UTF-8 on one line, its `agent` member being a text of `AgentText`.
[<CompiledName "WriteWithAgent">]
let writeWithAgent (json: JsonText) (sample: Sample) (agent: ReadOnlyMemory<byte>) : unit =
    Rows.body.Write(json, { Sample = sample; Agent = agent })

/// Writes one request body as UTF-8, on one line unless indented.
[<CompiledName "Write">]
let write (output: IBufferWriter<byte>) (indented: bool) (sample: Sample) (agent: AgentInfo) : unit =
    let json = JsonText InitialCapacity
    writeWithAgent json sample (agentText agent)
    Encode.writeTo output indented (Encode.raw json.Written)
