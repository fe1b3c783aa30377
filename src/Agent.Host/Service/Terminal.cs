using System.Runtime.InteropServices;
using System.Text;
using Agent.Sender;

namespace Agent.Host.Service;

/// <summary>Whether somebody looks at what is printed.</summary>
internal static partial class Terminal
{
    /// <summary>True when standard output is a terminal.</summary>
    public static bool IsOutput => Is(1);

    /// <summary>True when standard error is a terminal.</summary>
    public static bool IsError => Is(2);

    /// <summary>JSON as it is, or for a terminal, with what that would act upon escaped.</summary>
    public static string Json(string json) => IsOutput ? TerminalJson.Escaped(json) : json;

    /// <summary>The same for a line of UTF-8.</summary>
    public static ReadOnlySpan<byte> JsonLine(ReadOnlySpan<byte> line) =>
        IsOutput ? Encoding.UTF8.GetBytes(TerminalJson.Escaped(Encoding.UTF8.GetString(line))) : line;

    private static bool Is(int descriptor) => IsATerminal(descriptor) == 1;

    [LibraryImport("libc", EntryPoint = "isatty")]
    private static partial int IsATerminal(int descriptor);
}
