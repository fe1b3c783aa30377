using System.Runtime.InteropServices;

namespace Agent.Shell;

/// <summary>Why the file system refuses something, in a few words for a sentence that names the file: the class library's own sentences name it again.</summary>
internal static class FaultReason
{
    /// <summary>The largest number of errno(3).</summary>
    private const int LargestError = 4095;

    /// <summary>The words, without a full stop.</summary>
    public static string Of(Exception fault) => fault switch
    {
        FileNotFoundException or DirectoryNotFoundException => "there is no such file or directory",
        UnauthorizedAccessException => "permission denied",
        IOException { HResult: > 0 and <= LargestError } system => Marshal.GetPInvokeErrorMessage(system.HResult),
        _ => fault.Message.TrimEnd('.'),
    };
}
