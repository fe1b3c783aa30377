namespace Agent.Sender

open System
open System.Security.Cryptography
open System.Text
open Agent.Core
open Agent.Outbound

/// What a machine receives when it enrols.
[<NoComparison>]
type Enrolled =
    {
        /// Its slug in the webapp.
        Slug: string
        /// Labels that the key gives to all its machines; the user's own take precedence.
        Labels: (struct (string * string))[]
    }

/// Who enrols.
[<NoComparison>]
type EnrolledMachine =
    {
        /// This application's id of the machine; empty where it has none.
        Id: string
        /// Its host name.
        Hostname: string
    }

/// The outcome of one attempt to enrol.
[<RequireQualifiedAccess; NoComparison>]
type EnrolmentStep =
    /// The machine has a slug and a token.
    | Done of enrolled: Enrolled * token: Secret
    /// It is worth trying again: after the delay that the server asked for, else with exponential back-off.
    | Later of delay: TimeSpan voption * reason: string

    /// Calls the function for the case that this is.
    member step.Match(``done``: Func<Enrolled, Secret, 'r>, later: Func<TimeSpan voption, string, 'r>) : 'r =
        match step with
        | Done(enrolled, token) -> ``done``.Invoke(enrolled, token)
        | Later(delay, reason) -> later.Invoke(delay, reason)

/// Before its first sample, a machine without a token asks for a slug and a token of its own with a key that a fleet shares:
/// docs/ingest-api.md, "Enrolment".
[<RequireQualifiedAccess>]
module Enrolment =
    /// A receiver that refuses is asked again after this time at the latest: a key may be added or renewed in the meantime.
    let LongestPause: TimeSpan = TimeSpan.FromMinutes 1.0

    /// The application id for sd_id128_get_machine_app_specific(3): the machine id itself must not leave the machine (machine-id(5)).
    let private application =
        [|
            0x5buy
            0x1fuy
            0x9cuy
            0x2euy
            0x84uy
            0x7duy
            0x4fuy
            0x0auy
            0x9duy
            0x36uy
            0x0euy
            0xc1uy
            0x7auy
            0x52uy
            0xb8uy
            0x6fuy
        |]

    /// This application's id of the machine, 32 hexadecimal digits, from the text of /etc/machine-id; empty if that is no machine id. It is
    /// what `systemd-id128 machine-id --app-specific=5b1f9c2e847d4f0a9d360ec17a52b86f` prints.
    [<CompiledName "MachineIdOf">]
    let machineIdOf (text: string) : string =
        let digits = text.Trim()

        if digits.Length = 32 && digits |> Seq.forall Char.IsAsciiHexDigit then
            let hash = HMACSHA256.HashData(Convert.FromHexString digits, application)
            // A UUID of version 4, RFC 9562.
            hash[6] <- (hash[6] &&& 0x0Fuy) ||| 0x40uy
            hash[8] <- (hash[8] &&& 0x3Fuy) ||| 0x80uy
            Convert.ToHexStringLower(ReadOnlySpan(hash, 0, 16))
        else
            ""

    let private utf8 (value: JsonValue) : byte[] =
        Encoding.UTF8.GetBytes(Encode.toString 0 value)

    /// The body of the request.
    [<CompiledName "RequestOf">]
    let requestOf (key: Secret) (machine: EnrolledMachine) (slug: string) : byte[] =
        Encode.object
            [
                "key", Encode.string (key.Reveal())
                "machine_id", Encode.string machine.Id
                "hostname", Encode.string machine.Hostname
                if slug <> "" then
                    "server_slug", Encode.string slug
            ]
        |> utf8

    let private labels: Decoder<(struct (string * string))[]> =
        Decode.optional "labels" (Decode.keyValuePairs Decode.string)
        |> Decode.map (fun labels ->
            Option.defaultValue [] labels
            |> List.map (fun (name, value) -> struct (name, value))
            |> Array.ofList)

    let private enrolled: Decoder<Enrolled> =
        Decode.field "server_slug" Decode.string
        |> Decode.andThen (fun slug -> labels |> Decode.map (fun labels -> { Slug = slug; Labels = labels }))

    let private granted: Decoder<Enrolled * string> =
        enrolled
        |> Decode.andThen (fun enrolled -> Decode.field "token" Decode.string |> Decode.map (fun token -> enrolled, token))

    let private reasonOf (host: string) (status: int) (text: string) : string =
        let advice =
            match status with
            | 401
            | 403 ->
                ": the key in --enrol-key-file is unknown, expired or revoked; `ai-dashboard enrol-keys list` on the receiver lists the keys"
            | 404
            | 405 -> $": {host} does not enrol machines; register this one there, and give --server-slug and a token"
            | _ -> ""

        Delivery.withText $"HTTP {status}" text + advice

    /// The meaning of an answer, or of the lack of one.
    [<CompiledName "StepAfter">]
    let stepAfter (now: DateTimeOffset) (host: string) (exchange: Exchange) : EnrolmentStep =
        match exchange with
        | Exchange.Failed failure -> EnrolmentStep.Later(ValueNone, string failure)
        | Exchange.Answered answer when answer.Status = 200 || answer.Status = 201 ->
            match Decode.fromBytes granted answer.Body with
            | Ok(enrolled, token) ->
                match IngestToken.readSlug "the receiver" enrolled.Slug, IngestToken.read "the receiver" token with
                | Ok slug, Ok token -> EnrolmentStep.Done({ enrolled with Slug = slug }, token)
                | Error error, _
                | _, Error error -> EnrolmentStep.Later(ValueNone, string error)
            | Error _ ->
                EnrolmentStep.Later(
                    ValueNone,
                    $"HTTP {answer.Status} without a slug and a token: something other than ai-dashboard answers at {host}"
                )
        | Exchange.Answered answer ->
            EnrolmentStep.Later(
                Delivery.retryDelay now answer.Date answer.RetryAfter,
                reasonOf host answer.Status (Delivery.errorText answer.Body)
            )

    /// The text that is kept, without the token, which has a file of its own.
    [<CompiledName "Encode">]
    let encode (host: string) (machine: EnrolledMachine) (enrolled: Enrolled) : byte[] =
        Encode.object
            [
                "host", Encode.string host
                "machine_id", Encode.string machine.Id
                "hostname", Encode.string machine.Hostname
                "server_slug", Encode.string enrolled.Slug
                "labels",
                Encode.object (
                    enrolled.Labels
                    |> Seq.map (fun struct (name, value) -> name, Encode.string value)
                )
            ]
        |> utf8

    /// As the receiver has it: the same id is a machine renamed, the same name one that was reinstalled. What is not known differs from nothing.
    let private isOther (kept: EnrolledMachine) (machine: EnrolledMachine) : bool =
        let differ (one: string) (other: string) =
            one <> ""
            && other <> ""
            && not (String.Equals(one, other, StringComparison.OrdinalIgnoreCase))

        differ kept.Id machine.Id && differ kept.Hostname machine.Hostname

    let private keptMachine: Decoder<EnrolledMachine> =
        Decode.optional "machine_id" Decode.string
        |> Decode.andThen (fun id ->
            Decode.optional "hostname" Decode.string
            |> Decode.map (fun hostname ->
                {
                    Id = Option.defaultValue "" id
                    Hostname = Option.defaultValue "" hostname
                }))

    /// What was kept; none if it is of another host, or is not such a text. An error, in a sentence, if it was made on another machine, of
    /// which this one has a copy of the disk.
    [<CompiledName "Decode">]
    let decode (host: string) (machine: EnrolledMachine) (text: ReadOnlyMemory<byte>) : Result<Enrolled voption, string> =
        let kept =
            Decode.field "host" Decode.string
            |> Decode.andThen (fun host ->
                keptMachine
                |> Decode.andThen (fun machine -> enrolled |> Decode.map (fun enrolled -> host, machine, enrolled)))

        match Decode.fromBytes kept text with
        | Ok(keptHost, keptMachine, enrolled) when keptHost = host ->
            if isOther keptMachine machine then
                let name = Text.excerpt (ReadOnlySpan(Encoding.UTF8.GetBytes keptMachine.Hostname))
                Error $"the one that is kept was made on {name}, of which this machine is a copy; {machine.Hostname} enrols for itself"
            else
                Ok(ValueSome enrolled)
        | _ -> Ok ValueNone
