namespace Agent.Receiver

open System
open System.Text
open Agent.Core

/// A key with which machines register themselves, as the database knows it.
[<NoComparison>]
type EnrolKey =
    {
        /// What people call it.
        Name: string
        /// SHA-256 of the key; the key itself is kept nowhere.
        Hash: byte[]
        /// Labels that it gives to its machines.
        Labels: (struct (string * string))[]
        /// When it was made.
        CreatedAt: DateTimeOffset
        /// From then on it is refused; none for never.
        ExpiresAt: DateTimeOffset voption
    }

    /// Whether machines can enrol with it.
    member key.IsValid(now: DateTimeOffset) : bool =
        key.ExpiresAt |> ValueOption.forall (fun expires -> now < expires)

/// What a machine says of itself when it enrols.
[<NoComparison>]
type EnrolRequest =
    {
        /// The key.
        Key: string
        /// 32 hexadecimal digits, the same for as long as the system is installed (machine-id(5), seen by the agent); empty where it has none.
        MachineId: string
        /// Its host name.
        Hostname: string
        /// The slug that it would like; empty for one by its host name.
        Slug: string
    }

/// A server that enrolled.
[<NoComparison>]
type EnrolledMachine =
    {
        /// Its number in the database.
        Id: int
        /// As it said last.
        MachineId: string
        /// As it said last.
        Hostname: string
        /// When its newest sample came; none before the first.
        LastSample: DateTimeOffset voption
    }

/// Which server a machine that enrols is.
[<RequireQualifiedAccess; Struct>]
type EnrolDecision =
    /// One that is there: it gets a new token, and the old one is refused.
    | Again of id: int
    /// A new one.
    | New

    /// Calls the function for the case that this is.
    member decision.Match(again: Func<int, 'r>, ``new``: Func<'r>) : 'r =
        match decision with
        | Again id -> again.Invoke id
        | New -> ``new``.Invoke()

/// Machines that register themselves: docs/ingest-api.md, "Enrolment".
[<RequireQualifiedAccess>]
module Enrolment =
    /// No request is longer, in bytes.
    [<Literal>]
    let LongestBody = 4096

    /// A machine that has sent nothing for so long may have been installed anew, or renamed. One that sends is another machine.
    let Silence: TimeSpan = TimeSpan.FromMinutes 10.0

    let private text (name: string) (longest: int) : Decoder<string> =
        Decode.string
        |> Decode.andThen (fun text ->
            let text = text.Trim()

            if text.Length > longest || Seq.exists Char.IsControl text then
                Decode.fail $"{name} is not a text of at most {longest} characters without control characters"
            else
                Decode.succeed text)

    let private machineId: Decoder<string> =
        Decode.string
        |> Decode.andThen (fun text ->
            if text = "" || (text.Length = 32 && Seq.forall Char.IsAsciiHexDigit text) then
                Decode.succeed (text.ToLowerInvariant())
            else
                Decode.fail "machine_id is not 32 hexadecimal digits")

    let private slug: Decoder<string> =
        Decode.string
        |> Decode.andThen (fun text ->
            if Registration.isSlug text then
                Decode.succeed text
            else
                Decode.fail "server_slug is not a slug: 1 to 64 letters, digits, - or _")

    let private request: Decoder<EnrolRequest> =
        Decode.object (fun get ->
            {
                Key = get.Required.Field "key" (text "key" 256)
                MachineId = get.Optional.Field "machine_id" machineId |> Option.defaultValue ""
                Hostname = get.Required.Field "hostname" (text "hostname" 255)
                Slug = get.Optional.Field "server_slug" slug |> Option.defaultValue ""
            })

    /// Reads a request.
    [<CompiledName "Read">]
    let read (body: ReadOnlyMemory<byte>) : Result<EnrolRequest, Refusal> =
        Decode.fromBytes request body
        |> Result.mapError (fun error ->
            {
                Error = "The request is not an enrolment."
                Detail = Decode.errorToString error
            })

    let private isSilent (now: DateTimeOffset) (machine: EnrolledMachine) =
        machine.LastSample |> ValueOption.forall (fun last -> now - last > Silence)

    /// Which server this machine is. Machines that were registered by hand are never among them: whoever has the key of a fleet must not get
    /// the token of a server that was never part of it.
    ///
    /// The same id and name are the same machine. With the same id and another name it was renamed, with the same name and another id it was installed
    /// anew, unless the one that is there still sends: then it is a copy of its disk, or has the same name.
    [<CompiledName "Decide">]
    let decide (now: DateTimeOffset) (machines: EnrolledMachine[]) (request: EnrolRequest) : EnrolDecision =
        let hasId (machine: EnrolledMachine) =
            request.MachineId <> "" && machine.MachineId = request.MachineId

        let hasName (machine: EnrolledMachine) =
            request.Hostname <> ""
            && String.Equals(machine.Hostname, request.Hostname, StringComparison.OrdinalIgnoreCase)

        let first holds =
            match machines |> Array.tryFind holds with
            | Some machine -> ValueSome machine.Id
            | None -> ValueNone

        first (fun machine -> hasId machine && hasName machine)
        |> ValueOption.orElseWith (fun () -> first (fun machine -> hasId machine && isSilent now machine))
        |> ValueOption.orElseWith (fun () -> first (fun machine -> hasName machine && isSilent now machine))
        |> function
            | ValueSome id -> EnrolDecision.Again id
            | ValueNone -> EnrolDecision.New

    /// The longest slug less room for a number.
    [<Literal>]
    let private longestName = 56

    /// A slug that nobody has: as the machine would like it, else by its host name, with a number behind it where it is taken.
    [<CompiledName "SlugFor">]
    let slugFor (isTaken: Func<string, bool>) (request: EnrolRequest) : string =
        let wish =
            if request.Slug <> "" then
                request.Slug
            else
                Registration.slugOf request.Hostname

        let name = wish.Substring(0, min longestName wish.Length).TrimEnd '-'

        Seq.initInfinite (fun i -> if i = 0 then name else $"{name}-{i + 1}")
        |> Seq.find (isTaken.Invoke >> not)

    /// The registration of a machine that enrols, from the one that is there, if one is. Whether its samples are taken stays as it was.
    [<CompiledName "Registered">]
    let registered
        (known: Registration voption)
        (id: int)
        (slug: string)
        (request: EnrolRequest)
        (tokenHash: byte[])
        (now: DateTimeOffset)
        : Registration =
        match known with
        | ValueSome known ->
            { known with
                Hostname = request.Hostname
                TokenHash = tokenHash
            }
        | ValueNone ->
            {
                Id = id
                Slug = slug
                Name = slug
                Hostname = request.Hostname
                Description = ""
                IsActive = true
                CreatedAt = now
                TokenHash = tokenHash
            }

    let private labelObject (labels: (struct (string * string))[]) =
        Encode.object (labels |> Seq.map (fun struct (name, value) -> name, Encode.string value))

    /// Labels as they are kept.
    [<CompiledName "LabelText">]
    let labelText (labels: (struct (string * string))[]) : string = Encode.toString 0 (labelObject labels)

    /// Labels from where they are kept.
    [<CompiledName "LabelsOf">]
    let labelsOf (text: string) : (struct (string * string))[] =
        Decode.fromString (Decode.keyValuePairs Decode.string) text
        |> Result.defaultValue []
        |> List.map (fun (name, value) -> struct (name, value))
        |> Array.ofList

    /// The answer to a machine that enrolled.
    [<CompiledName "Granted">]
    let granted (slug: string) (token: string) (labels: (struct (string * string))[]) : byte[] =
        Encode.object
            [
                "ok", Encode.bool true
                "server_slug", Encode.string slug
                "token", Encode.string token
                if labels.Length > 0 then
                    "labels", labelObject labels
            ]
        |> Encode.toString 0
        |> Encoding.UTF8.GetBytes
