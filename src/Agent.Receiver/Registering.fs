namespace Agent.Receiver

open System
open Agent.Core

/// A machine that an admin adds in a browser.
type ServerAddition =
    {
        /// What people call it.
        Name: string
        /// Its name in URLs.
        Slug: string
        /// Its host name; empty where it was not given.
        Hostname: string
        /// What it is; empty where it was not given.
        Description: string
    }

/// What is pasted on a machine to start its agent, a line for each command.
type AgentCommands =
    {
        /// In a terminal.
        Terminal: string
        /// As the service of the agent's package.
        Service: string
    }

/// The result of registering a server.
[<RequireQualifiedAccess>]
module Registering =
    /// POST /api/servers/ takes so many bytes.
    [<Literal>]
    let LongestBody = 4096

    [<Literal>]
    let private LongestName = 120

    [<Literal>]
    let private LongestHostname = 255

    [<Literal>]
    let private LongestDescription = 1000

    /// The registration that the settings ask for, from the one that is there, if one is.
    [<CompiledName "Change">]
    let change
        (settings: RegisterSettings)
        (known: Registration voption)
        (id: int)
        (tokenHash: byte[])
        (now: DateTimeOffset)
        : Registration =
        let before =
            known
            |> ValueOption.defaultValue
                {
                    Id = id
                    Slug = settings.Slug
                    Name = settings.Slug
                    Hostname = ""
                    Description = ""
                    IsActive = true
                    CreatedAt = now
                    TokenHash = tokenHash
                }

        { before with
            Name = ValueOption.defaultValue before.Name settings.Name
            Hostname = ValueOption.defaultValue before.Hostname settings.Hostname
            Description = ValueOption.defaultValue before.Description settings.Description
            IsActive = ValueOption.defaultValue before.IsActive settings.IsActive
            TokenHash = tokenHash
        }

    /// What helps against a refusal with that status, for its detail: the command comes first, by which agents know whose it is.
    [<CompiledName "CommandFor">]
    let commandFor (status: int) (slug: string) : string =
        match status with
        | 401 when Registration.isSlug slug -> $"ai-dashboard register-server {slug} --rotate-token makes a new token"
        | 403 when Registration.isSlug slug -> $"ai-dashboard register-server {slug} --active enables it"
        | 404 when Registration.isSlug slug -> $"ai-dashboard register-server {slug} registers it"
        | _ -> ""

    /// What is said if a new token cannot be printed and so is lost: the registration stays.
    [<CompiledName "Untold">]
    let untold (registration: Registration) : string =
        $"{registration.Slug} is registered, but the token could not be printed; register-server {registration.Slug} --rotate-token makes a new one"

    /// The base URL for agents from the URL that the dashboard listens on. One that stands for all addresses is no address to send
    /// to; the machine's name is.
    let private hostOf (listen: string) (machine: string) =
        if listen = "" then
            DashboardSettings.DefaultListen
        else
            listen.TrimEnd('/').Replace("0.0.0.0", machine).Replace("[::]", machine)

    /// The base URL for agents: that of the dashboard that serves the database, else of the one that did last. `machine` is this machine's name.
    [<CompiledName "Address">]
    let address (served: string) (last: string) (machine: string) : string =
        hostOf (if served = "" then last else served) machine

    let private tokenLine (token: string) = $"INGEST_TOKEN={token}"

    /// After the token's line: an agent that runs until its terminal is closed.
    let private startLines (host: string) (slug: string) =
        [
            "(umask 077; echo \"$INGEST_TOKEN\" > ingest-token)"
            $"ai-dashboard-agent --host {host} --server-slug {slug} --token-file ingest-token"
        ]

    /// After the token's line: the service of the agent's package. Of a variable that is there already the later line counts.
    let private serviceLines (host: string) (slug: string) =
        [
            "echo \"$INGEST_TOKEN\" | sudo sh -c 'umask 077; cat > /etc/ai-dashboard-agent/ingest-token'"
            $"(echo AI_DASHBOARD_HOST={host}; echo AI_DASHBOARD_SERVER_SLUG={slug}) | sudo tee -a /etc/default/ai-dashboard-agent"
            "sudo systemctl enable ai-dashboard-agent && sudo systemctl restart ai-dashboard-agent"
        ]

    /// What is printed: the token, which is empty unless it is new, and how to start the agent. `listen` is where a dashboard serves the
    /// database, or where one did last; `machine` is the name of this machine.
    [<CompiledName "Told">]
    let told (registration: Registration) (isNew: bool) (token: string) (listen: string) (isServed: bool) (machine: string) : string =
        let slug = registration.Slug

        let state =
            if registration.IsActive then
                ""
            else
                ", inactive: its samples are refused"

        if token = "" then
            $"Changed {slug}{state}; its token stays as it is (--rotate-token makes a new one).\n"
        else
            let verb = if isNew then "Registered" else "Changed"

            String.concat
                "\n"
                [
                    $"{verb} {slug}{state}."
                    tokenLine token
                    ""
                    "The token is shown only once. On that server, paste the line above, then write the token into a file and start the agent:"
                    ""
                    for line in startLines (hostOf listen machine) slug do
                        "  " + line
                    ""
                    if not isServed then
                        "No dashboard serves this database at present; the address is the one where it listened last, or the usual one."
                        ""
                ]

    /// A base URL as a word of a shell: what a browser sends as its host may have characters that mean something there.
    let private wordOf (url: string) =
        if url |> Seq.forall (fun c -> Char.IsAsciiLetterOrDigit c || "-._:/".Contains c) then
            url
        else
            "'" + url.Replace("'", "'\\''") + "'"

    /// The commands for a machine that was added in a browser, to be pasted there as they are. `scheme` and `host` are those by which the
    /// browser reached the dashboard.
    [<CompiledName "Commands">]
    let commands (scheme: string) (host: string) (slug: string) (token: string) : AgentCommands =
        let word = wordOf $"{scheme}://{host}"

        let text lines =
            String.concat "\n" (tokenLine token :: lines)

        {
            Terminal = text (startLines word slug)
            Service = text (serviceLines word slug)
        }

    /// A text without white space around it.
    let private text (name: string) (longest: int) : Decoder<string> =
        Decode.string
        |> Decode.andThen (fun text ->
            let text = text.Trim()

            if text.Length > longest then
                Decode.fail $"{name} is longer than {longest} characters"
            elif Seq.exists Char.IsControl text then
                Decode.fail $"{name} has control characters"
            else
                Decode.succeed text)

    let private named: Decoder<string> =
        text "name" LongestName
        |> Decode.andThen (fun name ->
            if name = "" then
                Decode.fail "name is empty"
            else
                Decode.succeed name)

    let private slug: Decoder<string> =
        Decode.string
        |> Decode.andThen (fun slug ->
            if Registration.isSlug slug then
                Decode.succeed slug
            else
                Decode.fail "slug is not 1 to 64 letters, digits, - or _")

    let private addition: Decoder<ServerAddition> =
        Decode.object (fun get ->
            let name = get.Required.Field "name" named

            {
                Name = name
                Slug =
                    get.Optional.Field "slug" slug
                    |> Option.defaultWith (fun () -> if isNull (box name) then "" else Registration.slugOf name)
                Hostname =
                    get.Optional.Field "hostname" (text "hostname" LongestHostname)
                    |> Option.defaultValue ""
                Description =
                    get.Optional.Field "description" (text "description" LongestDescription)
                    |> Option.defaultValue ""
            })

    /// Reads the body of POST /api/servers/.
    [<CompiledName "Read">]
    let read (body: ReadOnlyMemory<byte>) : Result<ServerAddition, Refusal> =
        Decode.fromBytes addition body
        |> Result.mapError (fun error ->
            {
                Error = "The machine cannot be added."
                Detail =
                    match error with
                    | _, ErrorReason.FailMessage message -> message
                    | _ -> Decode.errorToString error
            })

    /// The registration of a machine that is added in a browser, by its number in the database.
    [<CompiledName "Added">]
    let added (addition: ServerAddition) (tokenHash: byte[]) (now: DateTimeOffset) (id: int) : Registration =
        {
            Id = id
            Slug = addition.Slug
            Name = addition.Name
            Hostname = addition.Hostname
            Description = addition.Description
            IsActive = true
            CreatedAt = now
            TokenHash = tokenHash
        }
