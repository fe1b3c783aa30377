namespace Agent.Sender

open System
open System.Buffers.Text
open System.Globalization
open System.Text
open Agent.Core
open Agent.Outbound

/// How the end of an answer's body is found: RFC 9112, section 6.3.
[<Struct; RequireQualifiedAccess>]
type BodyEnd =
    /// It is so many bytes long.
    | AfterBytes of count: int64
    /// It comes in chunks, of which the last one is empty.
    | AfterLastChunk
    /// The connection is closed behind it.
    | WithConnection

/// What stands before the body of an answer: RFC 9112, sections 4 and 5. A header that is absent is empty.
[<NoComparison>]
type AnswerHead =
    {
        /// The HTTP status.
        Status: int
        /// Where the body ends.
        BodyEnd: BodyEnd
        /// True when the connection is there for another request.
        KeepsConnection: bool
        /// True for a body that is compressed by gzip and nothing else.
        IsGzip: bool
        /// The `Retry-After` header.
        RetryAfter: string
        /// The `Location` header.
        Location: string
        /// The `Date` header, the server's clock.
        Date: string
        /// The `Allow` header.
        Allow: string
        /// The `X-Prometheus-Remote-Write-Samples-Written` header of remote-write 2.0; -1 when absent or no number.
        SamplesWritten: int64
    }

/// Makes sense of the head of an answer.
[<RequireQualifiedAccess>]
module AnswerHead =
    [<Literal>]
    let private LineFeed = 10uy

    [<Literal>]
    let private CarriageReturn = 13uy

    /// Digits of the longest `Content-Length` that is taken for a number.
    [<Literal>]
    let private MostDigits = 18

    [<Literal>]
    let private Version = "HTTP/1."

    /// Empty lines before the status line that are passed over: some servers write the end of their last answer late.
    [<Literal>]
    let MostEmptyLines = 4

    let private isDigit (letter: byte) = letter >= '0'B && letter <= '9'B

    let private trimmed (text: ReadOnlySpan<byte>) : ReadOnlySpan<byte> =
        let range = Ascii.Trim text
        text.Slice(range.Start.Value, range.End.Value - range.Start.Value)

    let private isText (text: ReadOnlySpan<byte>) (wanted: string) : bool =
        Ascii.EqualsIgnoreCase(text, wanted.AsSpan())

    /// True when one of the words between commas is that one.
    let private hasWord (list: ReadOnlySpan<byte>) (word: string) : bool =
        let mutable rest = list
        let mutable found = false

        while not found && not rest.IsEmpty do
            let comma = rest.IndexOf ','B
            let length = if comma < 0 then rest.Length else comma
            found <- isText (trimmed (rest.Slice(0, length))) word
            rest <- rest.Slice(min rest.Length (length + 1))

        found

    /// The last of the words between commas that is neither empty nor `identity`, which means that nothing was done (it is of
    /// RFC 2616, and some servers still say it).
    let private lastCoding (list: ReadOnlySpan<byte>) : ReadOnlySpan<byte> =
        let mutable rest = list
        let mutable word = ReadOnlySpan<byte>.Empty

        while word.IsEmpty && not rest.IsEmpty do
            let comma = rest.LastIndexOf ','B
            let last = trimmed (rest.Slice(comma + 1))
            rest <- rest.Slice(0, max comma 0)

            if not (isText last "identity") then
                word <- last

        word

    /// The number that the text is; -1 when it is none.
    let private numberOf (text: ReadOnlySpan<byte>) : int64 =
        let mutable number = if text.IsEmpty || text.Length > MostDigits then -1L else 0L

        for letter in text do
            number <-
                if number >= 0L && isDigit letter then
                    number * 10L + int64 (letter - '0'B)
                else
                    -1L

        number

    /// The length in a header, which may be repeated between commas (RFC 9110, section 8.6); -1 when it is no number
    /// or there are several that differ.
    let private lengthOf (text: ReadOnlySpan<byte>) : int64 =
        let mutable rest = text
        let mutable comma = rest.IndexOf ','B
        let length = numberOf (trimmed (if comma < 0 then rest else rest.Slice(0, comma)))
        let mutable isOne = length >= 0L

        while isOne && comma >= 0 do
            rest <- rest.Slice(comma + 1)
            comma <- rest.IndexOf ','B
            isOne <- numberOf (trimmed (if comma < 0 then rest else rest.Slice(0, comma))) = length

        if isOne then length else -1L

    let private isBlank (letter: byte) = letter = ' 'B || letter = '\t'B

    /// The status of a line such as `HTTP/1.1 200 OK`, with or without a reason; 0 for another line.
    let private statusOf (line: ReadOnlySpan<byte>) : int =
        if
            line.Length > Version.Length + 1
            && isText (line.Slice(0, Version.Length)) Version
            && isDigit line[Version.Length]
            && isBlank line[Version.Length + 1]
        then
            let code = line.Slice(Version.Length + 2).TrimStart(ReadOnlySpan " \t"B)

            if code.Length >= 3 && (code.Length = 3 || isBlank code[3]) then
                max 0 (int (numberOf (code.Slice(0, 3))))
            else
                0
        else
            0

    /// The bytes of the empty lines at the beginning, no more of them than are passed over (RFC 9112, section 2.2).
    let private emptyLines (received: ReadOnlySpan<byte>) : int =
        let mutable length = 0
        let mutable lines = 0
        let mutable goesOn = true

        while goesOn do
            let rest = received.Slice length

            if lines < MostEmptyLines && rest.Length >= 1 && rest[0] = LineFeed then
                length <- length + 1
                lines <- lines + 1
            elif
                lines < MostEmptyLines
                && rest.Length >= 2
                && rest[0] = CarriageReturn
                && rest[1] = LineFeed
            then
                length <- length + 2
                lines <- lines + 1
            else
                goesOn <- false

        length

    /// The bytes of the head in what has arrived, its empty line included; -1 while there is more to come. Lines may end
    /// without a carriage return (RFC 9112, section 2.2).
    [<CompiledName "LengthIn">]
    let lengthIn (received: ReadOnlySpan<byte>) : int =
        let mutable begin' = emptyLines received
        let mutable length = -1

        while length < 0 && begin' >= 0 do
            let line = received.Slice(begin').IndexOf LineFeed

            if line < 0 then
                begin' <- -1
            elif line = 0 || (line = 1 && received[begin'] = CarriageReturn) then
                length <- begin' + line + 1
            else
                begin' <- begin' + line + 1

        length

    /// False when what has arrived cannot become a head any more, as what speaks another protocol shows with its first bytes.
    [<CompiledName "MayBegin">]
    let mayBegin (received: ReadOnlySpan<byte>) : bool =
        let rest = received.Slice(emptyLines received)
        let known = min rest.Length Version.Length

        Ascii.EqualsIgnoreCase(rest.Slice(0, known), Version.AsSpan(0, known))
        || (rest.Length = 1 && rest[0] = CarriageReturn)

    /// True when what has arrived shows that the answer itself has begun, and not one of those on the way to it (1xx).
    [<CompiledName "IsFinal">]
    let isFinal (received: ReadOnlySpan<byte>) : bool =
        let line = received.Slice(emptyLines received)

        if line.Length > Version.Length + 2 then
            let code = line.Slice(Version.Length + 2).TrimStart(ReadOnlySpan " \t"B)
            not code.IsEmpty && code[0] <> '1'B
        else
            not (mayBegin received)

    /// True where a line goes on in the next one, which begins with a blank (RFC 9112, section 5.2).
    let private isFolded (head: ReadOnlySpan<byte>) : bool =
        head.IndexOf(ReadOnlySpan "\n "B) >= 0
        || head.IndexOf(ReadOnlySpan "\n\t"B) >= 0

    /// The head with blanks in place of the line ends within a value.
    let private unfolded (head: ReadOnlySpan<byte>) : byte[] =
        let lines = head.ToArray()

        for index in 0 .. lines.Length - 2 do
            if lines[index] = LineFeed && isBlank lines[index + 1] then
                lines[index] <- ' 'B

                if index > 0 && lines[index - 1] = CarriageReturn then
                    lines[index - 1] <- ' 'B

        lines

    let private parseLines (head: ReadOnlySpan<byte>) : AnswerHead voption =
        let mutable rest = head
        let mutable isFirst = true
        let mutable isHttp = true
        let mutable isOrderly = true
        let mutable isFirstVersion = false
        let mutable status = 0
        let mutable length = -1L
        let mutable isChunked = false
        let mutable isCoded = false
        let mutable closes = false
        let mutable keeps = false
        let mutable codings = 0
        let mutable isGzip = false
        let mutable retryAfter = ""
        let mutable location = ""
        let mutable date = ""
        let mutable allow = ""
        let mutable samplesWritten = -1L

        while isHttp && not rest.IsEmpty do
            let feed = rest.IndexOf LineFeed
            let length' = if feed < 0 then rest.Length else feed
            let line = rest.Slice(0, length').TrimEnd CarriageReturn
            rest <- rest.Slice(min rest.Length (length' + 1))

            if isFirst then
                isFirst <- false
                status <- statusOf line
                isHttp <- status >= 100
                isFirstVersion <- isHttp && line[Version.Length] = '0'B
            elif not line.IsEmpty then
                let colon = line.IndexOf ':'B

                // A line that is no header says nothing, and nobody knows what else is odd about that server.
                if colon <= 0 then
                    isOrderly <- false
                else
                    let name = line.Slice(0, colon).TrimEnd(ReadOnlySpan " \t"B)
                    let value = trimmed (line.Slice(colon + 1))

                    // Most headers differ in length from all of these already.
                    match name.Length with
                    | 4 when isText name "Date" -> date <- Encoding.Latin1.GetString value
                    | 5 when isText name "Allow" ->
                        let more = Encoding.Latin1.GetString value
                        allow <- if allow = "" then more else allow + ", " + more
                    | 8 when isText name "Location" -> location <- Encoding.Latin1.GetString value
                    | 10 when isText name "Connection" ->
                        closes <- closes || hasWord value "close"
                        keeps <- keeps || hasWord value "keep-alive"
                    | 11 when isText name "Retry-After" -> retryAfter <- Encoding.Latin1.GetString value
                    | 14 when isText name "Content-Length" ->
                        let told = lengthOf value
                        // Two that differ leave open where the next answer begins.
                        isHttp <- told >= 0L && (length < 0L || told = length)
                        length <- told
                    | 16 when isText name "Content-Encoding" && not (isText value "identity") ->
                        codings <- codings + 1
                        isGzip <- isText value "gzip" || isText value "x-gzip"
                    | 17 when isText name "Transfer-Encoding" ->
                        let last = lastCoding value

                        if not last.IsEmpty then
                            isCoded <- true
                            // Whatever else was done to the body, this tells its end.
                            isChunked <- isText last "chunked"
                    | 41 when isText name RemoteWrite.SamplesWrittenHeader -> samplesWritten <- numberOf value
                    | _ -> ()

        if not isHttp || isFirst then
            ValueNone
        else
            let bodyEnd =
                if status < 200 || status = 204 || status = 304 then
                    BodyEnd.AfterBytes 0L
                elif isChunked then
                    BodyEnd.AfterLastChunk
                elif length >= 0L && not isCoded then
                    BodyEnd.AfterBytes length
                else
                    BodyEnd.WithConnection

            ValueSome
                {
                    Status = status
                    BodyEnd = bodyEnd
                    KeepsConnection =
                        not closes
                        && isOrderly
                        && status <> 101
                        && (keeps || not isFirstVersion)
                        && bodyEnd <> BodyEnd.WithConnection
                        // Somebody between here and there may have gone by the length.
                        && not (isCoded && length >= 0L)
                    IsGzip = isGzip && codings = 1
                    RetryAfter = retryAfter
                    Location = location
                    Date = date
                    Allow = allow
                    SamplesWritten = samplesWritten
                }

    /// The head that ends with its empty line; none when that is not HTTP/1.
    [<CompiledName "Parse">]
    let parse (head: ReadOnlySpan<byte>) : AnswerHead voption =
        let head = head.Slice(emptyLines head)

        // Nobody folds lines any more, or hardly anybody.
        if isFolded head then
            parseLines (ReadOnlySpan(unfolded head))
        else
            parseLines head

/// Where the reading of a body in chunks stands: RFC 9112, section 7.1.
type internal ChunkPart =
    | Size = 0
    | Extension = 1
    | Data = 2
    | DataEnd = 3
    | TrailerStart = 4
    | Trailer = 5
    | Complete = 6
    | Garbled = 7

/// Takes one body out of what arrives on a connection, in pieces of any length.
[<Sealed>]
type BodyReader(bodyEnd: BodyEnd) =
    /// More hexadecimal digits than a 63-bit number has.
    static let mostDigits = 15

    let mutable part =
        match bodyEnd with
        | BodyEnd.AfterBytes 0L -> ChunkPart.Complete
        | BodyEnd.AfterLastChunk -> ChunkPart.Size
        | _ -> ChunkPart.Data

    let mutable left =
        match bodyEnd with
        | BodyEnd.AfterBytes count -> count
        | BodyEnd.AfterLastChunk -> 0L
        | BodyEnd.WithConnection -> Int64.MaxValue

    let mutable digits = 0

    let hexOf (letter: byte) =
        if letter <= '9'B then
            int64 (letter - '0'B)
        // The two cases of a letter differ in one bit.
        else
            int64 ((letter ||| 0x20uy) - 'a'B) + 10L

    let afterSize () =
        if digits = 0 then ChunkPart.Garbled
        elif left = 0L then ChunkPart.TrailerStart
        else ChunkPart.Data

    let afterData () =
        match bodyEnd with
        | BodyEnd.AfterLastChunk ->
            digits <- 0
            ChunkPart.DataEnd
        | _ -> ChunkPart.Complete

    /// Takes a byte that belongs to no data.
    let takeFrame (letter: byte) =
        match part, letter with
        | ChunkPart.Size, '\n'B
        | ChunkPart.Extension, '\n'B -> part <- afterSize ()
        | ChunkPart.Size, _ when Char.IsAsciiHexDigit(char letter) && digits < mostDigits ->
            digits <- digits + 1
            left <- left * 16L + hexOf letter
        | ChunkPart.Size, (';'B | ' 'B | '\t'B | '\r'B) -> part <- ChunkPart.Extension
        | ChunkPart.Extension, _ -> ()
        | ChunkPart.DataEnd, '\n'B -> part <- ChunkPart.Size
        | ChunkPart.DataEnd, '\r'B
        | ChunkPart.TrailerStart, '\r'B -> ()
        | ChunkPart.TrailerStart, '\n'B -> part <- ChunkPart.Complete
        | ChunkPart.Trailer, '\n'B -> part <- ChunkPart.TrailerStart
        | ChunkPart.TrailerStart, _
        | ChunkPart.Trailer, _ -> part <- ChunkPart.Trailer
        | _ -> part <- ChunkPart.Garbled

    /// True once all of it is taken.
    member _.IsComplete = (part = ChunkPart.Complete)

    /// True once something has come that no body looks like.
    member _.IsGarbled = (part = ChunkPart.Garbled)

    /// True when a connection that is closed now leaves nothing out.
    member _.MayEndHere = part = ChunkPart.Complete || bodyEnd = BodyEnd.WithConnection

    /// Takes from what has arrived until that is used up, `target` is full, or the body is complete or garbled. Returns
    /// the bytes that were taken and those of them that were written to `target`.
    member _.Take(received: ReadOnlySpan<byte>, target: Span<byte>) : struct (int * int) =
        let mutable taken = 0
        let mutable written = 0
        let mutable goesOn = true

        while goesOn
              && taken < received.Length
              && part <> ChunkPart.Complete
              && part <> ChunkPart.Garbled do
            if part = ChunkPart.Data then
                let count = int (min left (int64 (min (received.Length - taken) (target.Length - written))))

                received.Slice(taken, count).CopyTo(target.Slice written)
                taken <- taken + count
                written <- written + count
                left <- left - int64 count
                goesOn <- count > 0

                if left = 0L then
                    part <- afterData ()
            else
                takeFrame received[taken]
                taken <- taken + 1

        struct (taken, written)

/// The head of a request: RFC 9112, section 3.
[<RequireQualifiedAccess>]
module RequestHead =
    /// Bytes that `complete` writes at most beyond those of the beginning.
    [<Literal>]
    let LongestEnd = 16

    // What is not to be in a header would have been an error of the settings.
    let private harmless (text: string) =
        String.map (fun letter -> if letter >= ' ' && letter <= '~' then letter else '?') text

    /// The host as the `Host` header has it: with its port where that is not the scheme's own.
    let private hostOf (endpoint: Uri) =
        let host =
            if endpoint.HostNameType = UriHostNameType.IPv6 then
                endpoint.Host
            else
                endpoint.IdnHost

        if endpoint.IsDefaultPort then
            host
        else
            String.Concat(host, ":", endpoint.Port.ToString CultureInfo.InvariantCulture)

    /// Everything of a head but the length of its body, which is the last header.
    [<CompiledName "Beginning">]
    let beginning (verb: string) (endpoint: Uri) (headers: struct (string * string)[]) : byte[] =
        let text = StringBuilder()

        text.Append(verb).Append(' ').Append(endpoint.PathAndQuery).Append(" HTTP/1.1\r\nHost: ").Append(hostOf endpoint).Append("\r\n")
        |> ignore

        for struct (name, value) in headers do
            text.Append(name).Append(": ").Append(harmless value).Append("\r\n") |> ignore

        Encoding.ASCII.GetBytes(text.Append("Content-Length: ").ToString())

    /// Writes the head of a request with a body of that length; returns the bytes written. `target` has room for the
    /// beginning and `LongestEnd` more.
    [<CompiledName "Complete">]
    let complete (beginning: ReadOnlySpan<byte>) (length: int) (target: Span<byte>) : int =
        beginning.CopyTo target
        let mutable digits = 0

        Utf8Formatter.TryFormat(length, target.Slice beginning.Length, &digits)
        |> ignore

        let ending = target.Slice(beginning.Length + digits)
        ending[0] <- '\r'B
        ending[1] <- '\n'B
        ending[2] <- '\r'B
        ending[3] <- '\n'B
        beginning.Length + digits + 4
